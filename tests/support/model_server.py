"""A server that speaks like an OpenAI-compatible API, over real sockets, and misbehaves when told to.

Each request is answered by the next of the answers it was given, the last one again and again. An answer is a
function that gets a :class:`Talk`.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import attrs
import h11
import msgspec
import trio

from streamd.text.settings import TextSettings


class Talk:
    """One request, and the answer to it as the test wants it."""

    def __init__(self, stream: trio.SocketStream, http: h11.Connection, request: h11.Request) -> None:
        self.stream = stream
        self.headers = {name.decode().lower(): value.decode() for name, value in request.headers}
        self.target = request.target.decode()
        self.body: Any = None
        self._http = http

    async def head(self, status: int = 200, **headers: str) -> None:
        """Send the head of an answer whose body comes in chunks."""
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        names.setdefault("Content-Type", "text/event-stream")
        await self._send(h11.Response(status_code=status, headers=list(names.items())))

    async def data(self, data: bytes) -> None:
        await self._send(h11.Data(data=data))

    async def say(self, *pieces: str) -> None:
        """Send pieces of text, each as a chunk of a completion."""
        for piece in pieces:
            await self.data(chunk({"content": piece}))

    async def finish(self, reason: str = "stop") -> None:
        """Send the end of the text."""
        await self.data(chunk({}, reason) + b"data: [DONE]\n\n")
        await self.end()

    async def end(self) -> None:
        """End the body properly."""
        await self._send(h11.EndOfMessage())

    async def answer(self, *pieces: str) -> None:
        """A whole text."""
        await self.head()
        await self.say(*pieces)
        await self.finish()

    async def refuse(self, status: int, body: bytes = b"{}", **headers: str) -> None:
        await self.head(status, Content_Type="application/json", **headers)
        await self.data(body)
        await self.end()

    async def wait_for_close(self) -> None:
        """Until the client has left."""
        try:
            while await self.stream.receive_some():
                pass
        except trio.BrokenResourceError:
            pass

    async def _send(self, event: Any) -> None:
        await self.stream.send_all(self._http.send(event) or b"")


Answer = Callable[[Talk], Awaitable[None]]


@attrs.frozen
class ModelServer:
    """A running server.

    Attributes:
        url: for ``text.url``.
        talks: every request, in order.
    """

    url: str
    talks: list[Talk]

    def settings(self, **changes: Any) -> TextSettings:
        """Settings to ask it with; waits that a busy machine does not break."""
        defaults: dict[str, Any] = {"url": self.url, "model": "tiny-1", "api_key": KEY, "retry_seconds": 0.01}
        return TextSettings(**{**defaults, **changes})


KEY = "sk-secret-42"


def chunk(delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
    """One chunk of a completion, as an event."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    fields = {"id": "c1", "object": "chat.completion.chunk", "model": "tiny-1", "choices": [choice]}
    return b"data: " + msgspec.json.encode(fields) + b"\n\n"


@asynccontextmanager
async def model_server(*answers: Answer) -> AsyncIterator[ModelServer]:
    """Run a server that gives these answers, for as long as the block lasts."""
    talks: list[Talk] = []

    async def handle(stream: trio.SocketStream) -> None:
        async with stream:
            talk = await _read_request(stream)
            if talk is None:
                return
            answer = _choose(answers, len(talks))
            talks.append(talk)
            try:
                await answer(talk)
            except trio.BrokenResourceError:
                pass  # the client has left

    async with trio.open_nursery() as nursery:
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, handle, [listener])
        port = listener.socket.getsockname()[1]
        yield ModelServer(f"http://127.0.0.1:{port}/v1", talks)
        nursery.cancel_scope.cancel()


def _choose(answers: Sequence[Answer], number: int) -> Answer:
    return answers[min(number, len(answers) - 1)]


async def _read_request(stream: trio.SocketStream) -> Talk | None:
    http = h11.Connection(h11.SERVER)
    talk: Talk | None = None
    body = bytearray()
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            http.receive_data(await stream.receive_some())
        elif isinstance(event, h11.Request):
            talk = Talk(stream, http, event)
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            assert talk is not None
            talk.body = msgspec.json.decode(body)
            return talk
        else:
            return None
