"""Answers of HTTP/1.1, parsed by h11: a parser that the server does not share."""

from collections.abc import Sequence

import attrs
import h11
import trio

from tests.support.sockets import connect


@attrs.frozen
class RawAnswer:
    """One answer."""

    status: int
    reason: bytes
    headers: dict[str, str]
    body: bytes
    is_complete: bool


def parse_answers(data: bytes, methods: Sequence[str]) -> tuple[list[RawAnswer], bytes]:
    """Parse the answers to requests of these methods, but not informational ones; return what is behind."""
    answers = []
    for method in methods:
        parser = h11.Connection(h11.CLIENT)
        parser.send(h11.Request(method=method, target="/", headers=[("Host", "x")]))
        parser.send(h11.EndOfMessage())
        parser.receive_data(data)
        event = parser.next_event()
        while isinstance(event, h11.InformationalResponse):
            event = parser.next_event()
        assert isinstance(event, h11.Response), data
        headers = {name.decode(): value.decode() for name, value in event.headers}
        body = b""
        while isinstance(part := parser.next_event(), h11.Data):
            body += part.data
        is_complete = isinstance(part, h11.EndOfMessage)
        answers.append(RawAnswer(event.status_code, bytes(event.reason), headers, body, is_complete))
        data = bytes(parser.trailing_data[0])
    return answers, data


async def exchange(url: str, sent: bytes, *methods: str, eof: bool = False) -> list[RawAnswer]:
    """Send bytes on a new connection, read until the server closes, and parse the answers.

    Args:
        url: of the server.
        sent: requests; the last one must end the connection.
        methods: of the requests that are answered; one GET when left out.
        eof: close the client's side after sending.
    """
    stream = await connect(url)
    async with stream:
        await stream.send_all(sent)
        if eof:
            assert isinstance(stream, trio.SocketStream)
            await stream.send_eof()
        received = b"".join([bytes(part) async for part in stream])
    answers, rest = parse_answers(received, methods or ["GET"])
    assert rest == b""
    return answers
