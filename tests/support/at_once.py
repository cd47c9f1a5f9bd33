"""The same request over several sockets at the same moment."""

import json
from collections.abc import Mapping
from typing import Any

import trio

from tests.support.sockets import connect

Answer = tuple[int, Any]
"""Status and JSON body."""


async def post_at_once(
    url: str, path: str, body: bytes, headers: Mapping[str, str], *, times: int = 2
) -> list[Answer]:
    """Send a request over several sockets: first all but its last byte over each, then the last bytes.

    Args:
        url: the server's address.
        path: the path and query.
        body: at least one byte.
        headers: without ``Content-Length``.
        times: number of sockets.

    Returns:
        The answer on each socket.
    """
    fields = {"Host": "localhost", "Connection": "close", "Content-Length": str(len(body)), **headers}
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    request = "\r\n".join([*lines, "", ""]).encode() + body
    streams = [await connect(url) for _ in range(times)]
    try:
        for stream in streams:
            await stream.send_all(request[:-1])
        for stream in streams:
            await stream.send_all(request[-1:])
        return [await _read_answer(stream) for stream in streams]
    finally:
        for stream in streams:
            await trio.aclose_forcefully(stream)


async def _read_answer(stream: trio.abc.ReceiveStream) -> Answer:
    received = b""
    while chunk := await stream.receive_some():
        received += chunk
    head, _, body = received.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)
