"""The request that a handler reads, from whichever door it came."""

from codecs import BOM_UTF8
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any, Final, TypeVar

import trio
from quart import current_app, request

from ...auth import Caller
from ...characters import cut
from ...errors import InvalidBody, TooLarge, UnsupportedMediaType
from ...json import decode_json, decoding_steps, is_large
from ...limits import TakenLimit
from ...runtime import Runtime
from ...transports.asgi import Scope, find_transport
from ...turns import request_turns
from ..callers import find_caller, identify_caller
from ..content_coding import GzipBody, is_gzip
from ..current import current_runtime
from ..origins import CORS_ORIGINS
from ..push_back import PushBackBody
from ..query import parse_query
from .answer import JSON
from .body import ClientLeft, ReceivedBody

T = TypeVar("T")
_LENGTH_DIGITS: Final = 19  # Python refuses to convert thousands of digits
_NO_PARAMETERS: Final[Mapping[str, list[str]]] = {}


class QueryParameters:
    """The parameters of a query string, with the lookups of Quart's ``request.args``."""

    __slots__ = ("_values",)

    def __init__(self, query_string: bytes) -> None:
        self._values = parse_query(query_string) if query_string else _NO_PARAMETERS

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def get(self, name: str) -> str | None:
        """Return the first value of a parameter; None without one."""
        values = self._values.get(name)
        return None if values is None else values[0]

    def getlist(self, name: str) -> list[str]:
        """Return all values of a parameter."""
        return self._values.get(name, [])


class HeaderFields:
    """The header fields of a scope, with the lookups of Quart's ``request.headers``, by lower-case name."""

    __slots__ = ("_all", "_first")

    def __init__(self, headers: list[tuple[bytes, bytes]]) -> None:
        self._all = headers
        self._first = dict(reversed(headers))

    def __contains__(self, name: str) -> bool:
        return name.encode() in self._first

    def get(self, name: str) -> str | None:
        """Return the first value of a field; None without one."""
        value = self._first.get(name.encode())
        return None if value is None else value.decode("latin1")

    def getlist(self, name: str) -> list[str]:
        """Return all values of a field."""
        wanted = name.encode()
        if wanted not in self._first:
            return []
        return [value.decode("latin1") for key, value in self._all if key == wanted]


class HTTPRequest:
    """One request, as a :class:`~..requests.RequestLike`. What it does not need is not parsed.

    Args:
        scope: of the request.
        body: its body.
        runtime: the parts of the application.
        origins: the origins whose pages may use the API.

    Attributes:
        taken_limits: the limits that the answer describes.
    """

    __slots__ = ("_args", "_body", "_headers", "_media_type", "_origins", "runtime", "scope", "taken_limits")

    def __init__(
        self, scope: Scope, body: "ReceivedBody | PushBackBody", runtime: Runtime, origins: Iterable[str] = ()
    ) -> None:
        self.scope = scope
        self.runtime = runtime
        self.taken_limits: list[TakenLimit] = []
        self._body = body
        self._origins = origins
        self._args: QueryParameters | None = None
        self._headers: HeaderFields | None = None
        self._media_type: str | None = None

    def parse(self) -> "HTTPRequest":
        """Parse what handlers may need, and return this request: no repetition is parsed again."""
        self._args, self._headers, self._media_type = self.args, self.headers, self.media_type
        return self

    def repeat(self, scope: Scope) -> None:
        """Become the next request of the connection, whose head is the same.

        Args:
            scope: an equal one, in which no handler has noted anything.
        """
        self.scope = scope
        self.taken_limits = []

    @property
    def args(self) -> QueryParameters:
        """The parameters of the query."""
        if self._args is None:
            self._args = QueryParameters(self.scope["query_string"])
        return self._args

    @property
    def headers(self) -> HeaderFields:
        """The header fields."""
        if self._headers is None:
            self._headers = HeaderFields(self.scope["headers"])
        return self._headers

    @property
    def method(self) -> str:
        """The method."""
        method: str = self.scope["method"]
        return method

    @property
    def remote_addr(self) -> str | None:
        """The address of the client; None for one without."""
        client = self.scope.get("client")
        return client[0] if client else None

    @property
    def root_path(self) -> str:
        """The URL prefix of the request, for URLs in its answer."""
        prefix: str = self.scope.get("root_path", "")
        return prefix

    @property
    def media_type(self) -> str:
        """The media type of the body, in lower case; empty without one."""
        if self._media_type is None:
            sent = self.headers.get("content-type") or ""
            self._media_type = sent.partition(";")[0].strip().lower()
        return self._media_type

    def identify(self) -> Awaitable[Caller]:
        """Return the caller, see :func:`~..callers.identify_caller`."""
        return identify_caller(self.runtime.access, self.scope, self._origins)

    def find_caller(self) -> Caller | None:
        """Return the caller if that needs no waiting, see :meth:`identify`; otherwise None."""
        return find_caller(self.runtime.access, self.scope)

    def note_limits(self, taken: Iterable[TakenLimit]) -> None:
        """Describe limits in the answer, and check that they allow the request.

        Raises:
            TooManyRequests: one of them does not.
        """
        for limit in taken:
            self.taken_limits.append(limit)
            limit.check()

    async def read_body(self, *, max_bytes: int | None = None, media_type: str | None = None) -> bytes:
        """Read the body, inflated if it has the coding gzip.

        A byte order mark before JSON is dropped, which some programs write (RFC 8259 section 8.1).

        Args:
            max_bytes: the maximum size of the body (bytes); None for ``events.max_body_bytes``.
            media_type: the only media type that is read; None for any.

        Raises:
            UnsupportedMediaType: the ``Content-Type`` is not ``media_type``.
            UnsupportedCoding: the ``Content-Encoding`` is neither ``gzip`` nor ``identity``.
            TooLarge: the body is larger, as it was sent or inflated.
            InvalidBody: the body is not valid gzip, or did not arrive within
                ``tuning.events.body_timeout_seconds``.
            ClientLeft: the client is gone.
        """
        if media_type is not None:
            self.check_media_type(media_type)
        whole = self.take_body(max_bytes)
        if whole is not None:
            return whole
        limits = self.runtime.broker.settings.events
        max_bytes = max_bytes or limits.max_body_bytes
        declared = self.headers.get("content-length")
        if declared is not None and _length(declared) > max_bytes:
            raise _too_large(max_bytes)
        parts = self._inflated(self._body, max_bytes)
        return self._without_mark(await _collect(parts, max_bytes, limits.body_timeout_seconds))

    def take_body(self, max_bytes: int | None = None) -> bytes | None:
        """Return the body as :meth:`read_body` does, if all of it has arrived; otherwise None.

        Raises:
            TooLarge: the body is larger than ``max_bytes``.
        """
        body = self._body
        if not isinstance(body, ReceivedBody) or "content-encoding" in self.headers:
            return None
        whole = body.take()
        if whole is None:
            return None
        max_bytes = max_bytes or self.runtime.broker.settings.events.max_body_bytes
        if len(whole) > max_bytes:
            raise _too_large(max_bytes)
        return self._without_mark(whole) if whole.startswith(BOM_UTF8) else whole

    def _without_mark(self, body: bytes) -> bytes:
        return body.removeprefix(BOM_UTF8) if self.media_type == JSON else body

    async def read_json(self, type: type[T], *, max_bytes: int | None = None, envelope: int = 0) -> T:
        """Read the body as JSON.

        Args:
            type: a msgspec ``Struct``, or any other type that msgspec decodes.
            max_bytes: the maximum size of the body (bytes); None for ``events.max_body_bytes``.
            envelope: levels of the body around values that may have any shape, see
                :func:`~streamd.json.check_json`.

        Raises:
            UnsupportedMediaType: the ``Content-Type`` is not ``application/json``.
            TooLarge: the body is larger.
            InvalidBody: the body did not arrive in time, is not within the profile of :mod:`streamd.json`,
                or does not have the type's shape.
            ClientLeft: the client is gone.
        """
        body = await self.read_body(max_bytes=max_bytes, media_type=JSON)
        if is_large(body):
            return await request_turns().run(decoding_steps(body, type, envelope=envelope))
        return decode_json(body, type, envelope=envelope)

    def check_media_type(self, *media_types: str) -> str:
        """Check the media type of the body, and return it.

        Raises:
            UnsupportedMediaType: it is none of these.
        """
        sent = self.media_type
        if sent not in media_types:
            raise UnsupportedMediaType(
                f"Content-Type must be {' or '.join(media_types)} ({cut(sent) or 'none'} was sent)",
                field="Content-Type",
            )
        return sent

    def _inflated(self, parts: AsyncIterator[bytes], max_bytes: int | None = None) -> AsyncIterator[bytes]:
        """Return the parts of the body, inflated if it has the coding gzip.

        Raises:
            UnsupportedCoding: the ``Content-Encoding`` is another one.
            InvalidBody: (from the iterator) the body is not valid gzip.
        """
        codings = self.headers.getlist("content-encoding")
        return GzipBody(parts, max_bytes) if codings and is_gzip(codings) else parts

    def open_parts(self) -> AsyncIterator[bytes]:
        """Return the parts of a body that lasts as long as its client sends, inflated if they are gzip.

        A client that is ahead of the reader waits: while 64 kB are unread, no more is received. For HTTP/2
        under other servers, see :mod:`..push_back`.

        Raises:
            UnsupportedCoding: see :meth:`read_body`.
        """
        if isinstance(self._body, ReceivedBody):
            limits = self.runtime.broker.settings.events
            unread: Any = PushBackBody(None, limits.max_body_bytes)
            self._body.ahead = unread
        else:
            unread = self._body  # of a program's own class, perhaps
        may_push_back = self.scope["http_version"] != "2" or find_transport(self.scope) is not None
        if isinstance(unread, PushBackBody) and may_push_back:
            unread.push_back()
        return self._inflated(self._body)

    async def until_disconnect(self, function: Callable[..., Awaitable[T]], *arguments: Any) -> T:
        """Call an async function, which is cancelled when the client leaves. The body must have been read.

        Raises:
            ClientLeft: the client is gone.
            Exception: see the function.
        """
        if not isinstance(self._body, ReceivedBody):  # Quart's connection cancels the view
            return await function(*arguments)
        if self._body.watch is not None:
            with trio.CancelScope() as scope:
                self._body.watch(scope.cancel)
                return await function(*arguments)
            raise ClientLeft
        result: list[T] = []
        failure: Exception | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_cancel_when_left, self._body, nursery.cancel_scope)
            try:
                result.append(await function(*arguments))
            except Exception as error:  # noqa: BLE001 - raised below, outside the nursery, which would wrap it
                failure = error
            nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure
        if not result:
            raise ClientLeft
        return result[0]


def current_request() -> HTTPRequest:
    """Return the current request of the web framework as handlers read it."""
    body: Any = request.body
    return HTTPRequest(request.scope, body, current_runtime(), current_app.config.get(CORS_ORIGINS, ()))


async def _cancel_when_left(body: ReceivedBody, scope: trio.CancelScope) -> None:
    await body.wait_for_disconnect()
    scope.cancel()


async def _collect(parts: AsyncIterator[bytes], max_bytes: int, timeout_seconds: float) -> bytes:
    """Return a whole body.

    Raises:
        TooLarge: it is larger than ``max_bytes``.
        InvalidBody: it did not arrive in time.
    """
    body = bytearray()
    with trio.move_on_after(timeout_seconds) as scope:
        async for part in parts:
            body += part
            if len(body) > max_bytes:
                raise _too_large(max_bytes)
    if scope.cancelled_caught:
        raise InvalidBody("the body did not arrive in time")
    return bytes(body)


def _length(declared: str) -> int:
    """Return a ``Content-Length``, of which the first digits decide; 0 for one that is no number."""
    return int(declared[:_LENGTH_DIGITS]) if declared.isascii() and declared.isdigit() else 0


def _too_large(max_bytes: int) -> TooLarge:
    return TooLarge(f"the body is larger than {max_bytes} bytes", field="body")
