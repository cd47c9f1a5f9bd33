"""What a query string, a header or a body may say; everything wrong is refused by its name."""

import math
from collections.abc import AsyncIterator
from typing import Any, Final, Protocol, TypeVar

import trio
from quart import request

from ..broker import Broker
from ..connections import Identity
from ..errors import InvalidBody, InvalidField, TooLarge, UnsupportedMediaType
from ..events import EventId, parse_event_id
from ..events.bodies import decode_json
from ..hub import Overflow
from ..transports import StreamRequest, parse_selectors
from .current import current_runtime
from .json import JSON

LAST_EVENT_ID: Final = "Last-Event-ID"
_LISTED: Final = 100  # things in a list when the client does not say how many

T = TypeVar("T")


class AnyRequest(Protocol):
    """What is read of a request for a stream, whoever handles it; header names in lower case do."""

    @property
    def args(self) -> Any: ...  # has `get` and `getlist`

    @property
    def headers(self) -> Any: ...  # has `get`

    @property
    def remote_addr(self) -> str | None: ...


def parse_stream_request(
    request: AnyRequest, broker: Broker, *, cursor_parameter: str = "last_event_id"
) -> StreamRequest:
    """What ``GET /events`` asks for.

    Raises:
        InvalidField: names the parameter or header that is wrong.
    """
    selectors = parse_selectors(
        request.args.getlist("topic"), request.args.getlist("pattern"), broker.settings
    )
    if not selectors:
        raise InvalidField("name at least one topic or pattern to subscribe to", field="topic")
    return StreamRequest(
        selectors=selectors,
        after=parse_cursor(request, cursor_parameter),
        overflow=parse_overflow(request.args.get("overflow")),
        client_id=request.args.get("client_id"),
        heartbeat_seconds=_parse_heartbeat(request, broker),
        identity=identify(request),
    )


def parse_cursor(request: AnyRequest, parameter: str) -> EventId | None:
    """Where the client wants to go on: the header that browsers send, else the parameter."""
    header = request.headers.get(LAST_EVENT_ID.lower())
    if header:
        return parse_event_id(header, field=LAST_EVENT_ID)
    text = request.args.get(parameter)
    return parse_event_id(text, field=parameter) if text else None


def parse_overflow(text: str | None) -> Overflow:
    """The overflow policy; catch-up when the client names none."""
    try:
        return Overflow(text) if text else Overflow.CATCH_UP
    except ValueError:
        known = ", ".join(policy.value for policy in Overflow)
        raise InvalidField(f"overflow must be one of {known}; got {text!r}", field="overflow") from None


def _parse_heartbeat(request: AnyRequest, broker: Broker) -> float | None:
    settings = broker.settings.connections
    return parse_seconds(
        request,
        "heartbeat",
        default=None,
        least=settings.min_heartbeat_seconds,
        most=settings.max_heartbeat_seconds,
    )


def parse_seconds(
    request: AnyRequest, name: str, *, default: float | None, least: float, most: float
) -> float | None:
    """A parameter in seconds, within its bounds.

    Raises:
        InvalidField: not a number, or out of bounds.
    """
    text = request.args.get(name)
    if text is None:
        return default
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not least <= seconds <= most:
        raise InvalidField(f"{name} must be seconds from {least:g} to {most:g}; got {text!r}", field=name)
    return seconds


def parse_limit(request: AnyRequest, most: int) -> int:
    """How many things to list: what ``limit`` says, else 100.

    Raises:
        InvalidField: it is no number, or more than ``most``.
    """
    text = request.args.get("limit")
    if text is None:
        return min(_LISTED, most)
    if not text.isascii() or not text.isdigit() or len(text) > 9 or int(text) > most:
        raise InvalidField(f"limit must be 0 to {most}, got {text[:64]!r}", field="limit")
    return int(text)


def identify(request: AnyRequest) -> Identity:
    """Who is asking. In open mode nobody in particular, from an address."""
    return Identity(address=request.remote_addr or "")


async def read_body(*, max_bytes: int | None = None) -> bytes:
    """Read the body of the current request.

    Args:
        max_bytes: the maximum size of the body (bytes); None for ``events.max_body_bytes``.

    Raises:
        TooLarge: the body is larger.
        InvalidBody: the body did not arrive within ``events.body_timeout_seconds``.
    """
    limits = current_runtime().broker.settings.events
    max_bytes = max_bytes or limits.max_body_bytes
    if (request.content_length or 0) > max_bytes:
        raise _too_large(max_bytes)
    body = bytearray()
    with trio.move_on_after(limits.body_timeout_seconds) as scope:
        async for part in request.body:
            body += part
            if len(body) > max_bytes:
                raise _too_large(max_bytes)
    if scope.cancelled_caught:
        raise InvalidBody("the body did not arrive in time")
    return bytes(body)


async def read_json(type: type[T], *, max_bytes: int | None = None) -> T:
    """Read the body of the current request as JSON.

    Args:
        type: a msgspec ``Struct``, or any other type that msgspec decodes; ``msgspec.Raw`` for the bytes.
        max_bytes: the maximum size of the body (bytes); None for ``events.max_body_bytes``.

    Raises:
        UnsupportedMediaType: the ``Content-Type`` is not ``application/json``.
        TooLarge: the body is larger.
        InvalidBody: the body did not arrive in time, is not JSON, or does not have the type's shape.
    """
    if request.mimetype != JSON:
        raise UnsupportedMediaType(
            f"the body must be {JSON}, not {request.mimetype or 'without a content type'}",
            field="Content-Type",
        )
    return decode_json(await read_body(max_bytes=max_bytes), type)


def _too_large(max_bytes: int) -> TooLarge:
    return TooLarge(f"the body is larger than {max_bytes} bytes", field="body")


async def read_lines(body: AsyncIterator[bytes], max_line_bytes: int) -> AsyncIterator[list[bytes]]:
    """Lines of a body as they come: all that each part completes, without their line ends.

    A line longer than ``max_line_bytes`` comes cut to one byte more than that, and the rest of it is
    skipped, so that the reader can refuse it and go on.
    """
    rest = bytearray()
    async for part in body:
        rest += part
        *lines, last = rest.split(b"\n")
        rest = last[: max_line_bytes + 1]
        if lines:
            yield [bytes(line[: max_line_bytes + 1]) for line in lines]
    if rest:
        yield [bytes(rest)]
