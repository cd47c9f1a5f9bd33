"""Requests as the proxy sees them, and the answers of its own."""

import enum
from collections.abc import Mapping
from typing import Final, Self
from urllib.parse import parse_qs, urlsplit

import attrs
import trio

_HEAD_BYTES_MAX: Final = 65_536
_READ_BYTES: Final = 16_384
_HELD_SECONDS: Final = 600.0
STREAM_PATH: Final = "/events"
CUT_SECONDS: Final = 0.5
"""Time from the body to the cut: after an error, Chromium drops what a page has not read yet."""


@attrs.frozen
class Request:
    """The head of a request.

    Args:
        at: time of its arrival (s since 1970).
        headers: the last one of each name, in lower case.
    """

    at: float
    method: str
    target: str
    headers: Mapping[str, str]

    @classmethod
    def parse(cls, head: bytes, at: float) -> Self:
        """Parse a head, with the empty line at its end."""
        first, *lines = head.decode("latin-1").rstrip().split("\r\n")
        method, target, _ = first.split(" ", 2)
        fields = (line.partition(":") for line in lines)
        return cls(at, method, target, {name.lower(): value.strip() for name, _, value in fields})

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def is_websocket(self) -> bool:
        return self.headers.get("upgrade", "").lower() == "websocket"

    @property
    def is_stream(self) -> bool:
        """True for a request that subscribes, over any transport."""
        return self.is_websocket or (self.method == "GET" and self.path.startswith(STREAM_PATH))

    @property
    def transport(self) -> str:
        """Name of the transport, as streamd-client calls it."""
        if self.is_websocket:
            return "websocket"
        return "sse" if "text/event-stream" in self.headers.get("accept", "") else "poll"

    @property
    def cursor(self) -> str:
        """Position to resume after, from the header or the query; empty without one."""
        query = parse_qs(urlsplit(self.target).query)
        found = query.get("lastEventId") or query.get("last_event_id") or [""]
        return self.headers.get("last-event-id") or found[0]


def encode_head(request: Request) -> bytes:
    """Encode a request for streamd, on a connection that closes after the response."""
    # reconnecting-eventsource resumes by `lastEventId`; streamd's name of the parameter is another one.
    target = request.target.replace("lastEventId=", "last_event_id=")
    headers = dict(request.headers)
    if not request.is_websocket:
        headers["connection"] = "close"
    lines = [f"{request.method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


async def read_head(stream: trio.SocketStream) -> tuple[bytes, bytes]:
    """Read up to the empty line after a head; return the head, and the bytes behind it that were read along.

    The head is empty if the peer closes before.
    """
    received = bytearray()
    while b"\r\n\r\n" not in received and len(received) < _HEAD_BYTES_MAX:
        content = await stream.receive_some(_READ_BYTES)
        if not content:
            return b"", b""
        received += content
    end = received.index(b"\r\n\r\n") + 4
    return bytes(received[:end]), bytes(received[end:])


class End(enum.Enum):
    """The end of an answer."""

    CLOSED = "closed"  # in an orderly way
    CUT = "cut"  # in the middle of the body, after CUT_SECONDS
    HELD = "held"  # it stays open


@attrs.frozen
class Answer:
    """An answer of the proxy's own."""

    status: int
    headers: Mapping[str, str] = attrs.field(factory=dict)
    body: bytes = b""
    end: End = End.CLOSED

    @classmethod
    def stream(cls, body: str, end: End) -> Self:
        """Make an event stream."""
        return cls(
            200, {"Content-Type": "text/event-stream", "Cache-Control": "no-cache"}, body.encode(), end
        )

    async def send(self, stream: trio.SocketStream) -> None:
        """Send the answer, and close or hold the connection."""
        headers = {"Connection": "close", **self.headers}
        if self.end is End.CLOSED:
            headers |= {} if self.status == 204 else {"Content-Length": str(len(self.body))}
            body = self.body
        else:
            headers["Transfer-Encoding"] = "chunked"
            body = b"%x\r\n%s\r\n" % (len(self.body), self.body)  # and no chunk that ends it
        lines = [f"HTTP/1.1 {self.status} -", *(f"{name}: {value}" for name, value in headers.items())]
        await stream.send_all(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body)
        if self.end is not End.CLOSED:
            await trio.sleep(CUT_SECONDS if self.end is End.CUT else _HELD_SECONDS)
