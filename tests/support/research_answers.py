"""An HTTP server with scripted answers as bytes, valid or not."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

import trio


def answer(status: str, body: bytes = b"", *headers: str, length: int | None = None) -> bytes:
    """Build an answer; ``length`` is a wrong Content-Length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *headers]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode() + body


class Answers:
    """A server that answers requests in order, and repeats the last answer; None is no answer at all.

    Attributes:
        url: of the server.
        targets: the targets of the requests so far.
        heads: the heads of the requests so far.
    """

    def __init__(self, answers: Sequence[bytes | None]) -> None:
        self.url = ""
        self.targets: list[str] = []
        self.heads: list[str] = []
        self._answers = answers

    async def handle(self, stream: trio.SocketStream) -> None:
        received = b""
        while b"\r\n\r\n" not in received:
            part = await stream.receive_some()
            if not part:
                return
            received += part
        self.heads.append(received.decode())
        self.targets.append(received.decode().split(" ")[1])
        content = self._answers[min(len(self.heads), len(self._answers)) - 1]
        if content is None:
            await stream.receive_some()  # until the client disconnects
            return
        try:
            await stream.send_all(content)
        except trio.BrokenResourceError:
            return  # the client has disconnected


@asynccontextmanager
async def answering(*answers: bytes | None) -> AsyncIterator[Answers]:
    """Run a server on the loopback interface for the duration of the block."""
    server = Answers(answers)
    async with trio.open_nursery() as nursery:
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(partial(trio.serve_listeners, server.handle, [listener]))
        server.url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
        yield server
        nursery.cancel_scope.cancel()
