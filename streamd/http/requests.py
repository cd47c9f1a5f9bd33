"""Parsers of query parameters, headers and bodies. Each error names the input that is invalid."""

import math
from functools import lru_cache
from typing import Any, Final, Protocol, TypeVar

from ..auth import Caller
from ..broker import Broker
from ..characters import TextKind, check_text, quoted
from ..connections import Identity
from ..connections.settings import ON_LIMIT_ERROR, ON_LIMIT_RETRY
from ..errors import InvalidField
from ..events import EventId, parse_event_id
from ..hub import Overflow
from ..json import decode_json
from ..transports import StreamRequest, parse_selectors
from .hot.request import current_request
from .json import JSON
from .schema import CancelSchema

LAST_EVENT_ID: Final = "Last-Event-ID"
LAST_EVENT_ID_PARAMETER: Final = "lastEventId"
"""The parameter with which polyfills of EventSource that cannot send the header resume
(event-source-polyfill, reconnecting-eventsource)."""
RESUME_HEADER: Final = "Resume-Secret"
_CURSOR: Final = LAST_EVENT_ID.lower()
_SECRET: Final = RESUME_HEADER.lower()
_SELECTORS: Final = frozenset(("topic", "pattern"))  # parameters
_TOPICS: Final = "topics"
_DEFAULT_LIMIT: Final = 100  # entries of a list without ``limit``: a page that people can read

_SHARED_IDENTITIES: Final = 4096  # some 0.6 MB
_REASON_BYTES_MAX: Final = 32_768  # a sentence of 2000 characters, however they are escaped

T = TypeVar("T")

_identity = lru_cache(_SHARED_IDENTITIES)(Identity)
"""Returns the same identity to the streams of one client, or of the clients behind one proxy."""


class RequestLike(Protocol):
    """The parts of a request that the parsers read. Header names are looked up in lower case."""

    @property
    def args(self) -> Any: ...  # iterates over the names; has `get` and `getlist`

    @property
    def headers(self) -> Any: ...  # has `get`

    @property
    def remote_addr(self) -> str | None: ...


def parse_stream_request(
    request: RequestLike, broker: Broker, caller: Caller, *, cursor_parameter: str = "last_event_id"
) -> StreamRequest:
    """Parse a subscription to the log: selectors, cursor, overflow policy, client id and heartbeat.

    Args:
        request: the request, or the WebSocket upgrade.
        broker: for the limits.
        caller: who sends it.
        cursor_parameter: the query parameter with the cursor, see :func:`find_cursor`.

    Raises:
        InvalidField: names the invalid parameter or header.
    """
    args = request.args
    selectors = parse_selectors(args.getlist("topic"), args.getlist("pattern"), broker.settings)
    if not selectors:
        raise InvalidField("name at least one topic or pattern to subscribe to", field="topic")
    identity = identity_of(caller, request.remote_addr)
    if _SELECTORS.issuperset(args) and not (request.headers.get(_CURSOR) or request.headers.get(_SECRET)):
        return StreamRequest(selectors=selectors, identity=identity)  # as most are
    return StreamRequest(
        selectors=selectors,
        after=parse_cursor(request, cursor_parameter),
        overflow=parse_overflow(args.get("overflow")),
        include_topics=_parse_include(args.getlist("include")),
        client_id=args.get("client_id"),
        resume_secret=parse_resume_secret(request),
        heartbeat_seconds=_parse_heartbeat(request, broker),
        identity=identity,
    )


def parse_cursor(request: RequestLike, parameter: str) -> EventId | None:
    """Parse the cursor of a client, see :func:`find_cursor`; None without one.

    Raises:
        InvalidField: the cursor is not an event id.
    """
    field, text = find_cursor(request, parameter)
    return parse_event_id(text, field=field) if text else None


def find_cursor(request: RequestLike, parameter: str = "last_event_id") -> tuple[str, str]:
    """Return the name of the input with the cursor of a client, and its text; empty without one.

    The header comes first, then ``lastEventId``, then the query parameter of the route. Header and
    ``lastEventId`` are what a client adds when it reconnects to a URL, which may have the cursor to begin
    with as one of the other parameters. Of several ``lastEventId`` the last one was added last.
    """
    header = request.headers.get(_CURSOR)
    if header:
        return LAST_EVENT_ID, header
    added = [text for text in request.args.getlist(LAST_EVENT_ID_PARAMETER) if text]
    if added:
        return LAST_EVENT_ID_PARAMETER, added[-1]
    return parameter, request.args.get(parameter) or ""


def parse_resume_secret(request: RequestLike) -> str | None:
    """Return the resume secret: the header, else the query parameter, for browsers; None without either."""
    secret: str | None = request.headers.get(_SECRET) or request.args.get("resume_secret")
    return secret


def parse_overflow(text: str | None) -> Overflow:
    """Parse an overflow policy; catch-up by default.

    Raises:
        InvalidField: there is no such policy.
    """
    try:
        return Overflow.CATCH_UP if text is None else Overflow(text)
    except ValueError:
        known = ", ".join(policy.value for policy in Overflow)
        raise InvalidField(f"overflow must be one of {known}; got {quoted(text)}", field="overflow") from None


def parse_on_limit(request: RequestLike, broker: Broker) -> bool:
    """Parse ``on_limit``: return True if a rejected stream becomes one that ends, see :mod:`.rejections`.

    Raises:
        InvalidField: there is no such answer.
    """
    text: str | None = request.args.get("on_limit")
    if text is None:
        return broker.settings.connections.on_limit == ON_LIMIT_RETRY
    if text not in (ON_LIMIT_ERROR, ON_LIMIT_RETRY):
        raise InvalidField(
            f"on_limit must be {ON_LIMIT_ERROR} or {ON_LIMIT_RETRY}; got {quoted(text)}", field="on_limit"
        )
    return text == ON_LIMIT_RETRY


def prefers_retry(request: RequestLike, broker: Broker) -> bool:
    """Parse ``on_limit`` as :func:`parse_on_limit` does, but return False if it is invalid."""
    try:
        return parse_on_limit(request, broker)
    except InvalidField:
        return False


def _parse_include(names: list[str]) -> bool:
    """Return True if the client asks for the topics of each event, the only part there is to include."""
    for name in names:
        if name != _TOPICS:
            raise InvalidField(f"include must be {_TOPICS}; got {quoted(name)}", field="include")
    return bool(names)


def _parse_heartbeat(request: RequestLike, broker: Broker) -> float | None:
    settings = broker.settings.connections
    return parse_seconds(
        request,
        "heartbeat",
        default=None,
        least=settings.min_heartbeat_seconds,
        most=settings.max_heartbeat_seconds,
    )


def parse_seconds(
    request: RequestLike, name: str, *, default: float | None, least: float, most: float
) -> float | None:
    """Parse a query parameter in seconds.

    Raises:
        InvalidField: it is not a number from ``least`` to ``most``.
    """
    text = request.args.get(name)
    if text is None:
        return default
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not least <= seconds <= most:
        raise InvalidField(
            f"{name} must be seconds from {least:g} to {most:g}; got {quoted(text)}", field=name
        )
    return seconds


def parse_limit(request: RequestLike, most: int) -> int:
    """Parse ``limit``, the maximum number of entries to list; by default 100, or ``most`` if that is less.

    Raises:
        InvalidField: it is not a whole number from 0 to ``most``.
    """
    text = request.args.get("limit")
    if text is None:
        return min(_DEFAULT_LIMIT, most)
    if not text.isascii() or not text.isdigit() or len(text) > 9 or int(text) > most:
        raise InvalidField(f"limit must be 0 to {most}, got {quoted(text)}", field="limit")
    return int(text)


def identity_of(caller: Caller | None, address: str | None) -> Identity:
    """Return the identity of a caller's connection; None for one that was not identified."""
    if caller is None:
        return Identity(address=address or "")
    return _identity(
        caller.user, address or "", caller.key, caller.token_id, caller.issued_at, caller.expires_at
    )


async def read_body(*, max_bytes: int | None = None, media_type: str | None = None) -> bytes:
    """Read the body of the current request, see :meth:`.HTTPRequest.read_body`."""
    return await current_request().read_body(max_bytes=max_bytes, media_type=media_type)


async def read_json(type: type[T], *, max_bytes: int | None = None, envelope: int = 0) -> T:
    """Read the body of the current request as JSON, see :meth:`.HTTPRequest.read_json`."""
    return await current_request().read_json(type, max_bytes=max_bytes, envelope=envelope)


async def read_reason() -> str:
    """Read the reason for a cancellation, the ``message`` of the current request's body; empty without one.

    Raises:
        UnsupportedMediaType, TooLarge, InvalidBody: as for :func:`read_json`. An empty body may have any
            ``Content-Type``.
        InvalidField: the reason has characters that no text may have.
    """
    body = await read_body(max_bytes=_REASON_BYTES_MAX)
    if not body.strip():
        return ""
    current_request().check_media_type(JSON)
    reason: CancelSchema = decode_json(body, CancelSchema)
    if not reason.message:
        return ""
    return check_text(reason.message, "message", TextKind.TEXT)
