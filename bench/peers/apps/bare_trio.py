"""The least that a server on trio with httptools does: a nursery a connection, a write to each subscriber.

It has no ids, log, access control, limits, timeouts or pipelining: what streamd costs more is their price.
"""

import gc
import socket
import sys
from functools import partial
from typing import Any

import httptools
import msgspec
import trio

_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
_ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"
_BACKLOG = 2_048
_RECEIVE_BYTES = 65_536
_ACCEPTS = 16  # in a row, before other tasks run

_subscribers: dict[socket.socket, None] = {}


class Request:
    """One request, as the parser's callbacks fill it."""

    __slots__ = ("body", "is_complete")

    def __init__(self) -> None:
        self.body = b""
        self.is_complete = False

    def on_body(self, part: bytes) -> None:
        """Take a part of the body."""
        self.body += part

    def on_message_complete(self) -> None:
        """Take the end of the request."""
        self.is_complete = True


async def serve(sock: socket.socket) -> None:
    """Answer the requests of one connection until the client closes it."""
    async with trio.open_nursery():
        try:
            await _answer_all(sock)
        finally:
            _subscribers.pop(sock, None)
            sock.close()


async def _answer_all(sock: socket.socket) -> None:
    request: Request | None = None
    parser: Any = None
    while True:
        try:
            data = sock.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            await trio.lowlevel.wait_readable(sock)
            continue
        except OSError:
            return
        if not data:
            return
        if request is None:
            request = Request()
            parser = httptools.HttpRequestParser(request)
        parser.feed_data(data)
        if request.is_complete:
            if parser.get_method() == b"GET":
                _subscribers[sock] = None
                sock.send(_HEAD)
            else:
                _publish(request.body)
                sock.send(_ANSWER)
            request = parser = None


def _publish(body: bytes) -> None:
    event = msgspec.json.decode(body)
    block = b"data: %b\n\n" % msgspec.json.encode(event["data"])
    chunk = b"%x\r\n%b\r\n" % (len(block), block)
    for subscriber in tuple(_subscribers):
        subscriber.send(chunk)


async def main(port: int) -> None:
    """Listen on a port of the loopback interface until SIGTERM."""
    with socket.create_server(("127.0.0.1", port), backlog=_BACKLOG) as listener:
        listener.setblocking(False)
        print(f"listening on http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
        gc.freeze()
        gc.set_threshold(20_000)
        async with trio.open_nursery() as nursery:
            while True:
                await trio.lowlevel.wait_readable(listener)
                for _ in range(_ACCEPTS):
                    try:
                        sock, _peer = listener.accept()
                    except BlockingIOError:
                        break
                    sock.setblocking(False)
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    nursery.start_soon(serve, sock)


if __name__ == "__main__":
    trio.run(partial(main, int(sys.argv[1])))
