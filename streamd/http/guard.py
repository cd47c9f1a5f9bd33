"""Checks of every request before the application sees it, and headers of every answer.

::

    scope -- Host -- site of the page -- target -- request id --> application --> headers of the answer
               |            |              |
               421          403            400

===========================  ================================================================================
check                        keeps out
===========================  ================================================================================
``Host`` is a name of this   pages under names of their own that resolve to this machine (DNS rebinding); see
server                       :mod:`.hosts`
page of this site, if the    pages of other sites that post a form, cancel a task or open a WebSocket; see
request changes something    :func:`.origins.check_site`
target is UTF-8, on routes   parameters that each part of the server reads in another way; see :mod:`.targets`
of streamd
===========================  ================================================================================

An empty ``server.hosts`` is a check only in open mode: a server with keys trusts no page for its origin. For
an application of a program, which may be in a public place, it is one only if streamd's server serves it; the
other checks hold on all of its routes.

Headers of an answer: ``X-Request-Id``, also in the request's log lines; ``X-Content-Type-Options``; for data,
which no browser should show as a page, a Content-Security-Policy, so that a defect cannot make it one; for
errors ``Cache-Control: no-store``, because caches may keep a 404, 405, 410 or 414 that does not forbid it
(RFC 9110 section 15.1), and some keep others, too. Pages of a program keep their own.
"""

import os
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from functools import lru_cache, partial
from typing import Any, Final, Protocol

import attrs
from structlog.contextvars import STRUCTLOG_KEY_PREFIX

from ..characters import quoted
from ..errors import MisdirectedHost, StreamdError
from ..metrics import Metrics
from ..proxies import route_path
from ..runtime import RuntimeSettings
from ..transports.asgi import ENTRY, Field, Receive, Scope, Send, Transport, find_transport
from .hosts import EVERY_HOST, UNCHECKED_PATHS, AllowedHosts
from .observe import UNKNOWN_ROUTE, record_request
from .origins import SAFE_METHODS, Cors, check_site
from .problems import send_problem
from .targets import check_target

_HOST: Final = b"host"
_ORIGIN: Final = b"origin"
_FETCH_SITE: Final = b"sec-fetch-site"
_REQUEST_ID: Final = b"x-request-id"
_request_id: Final = ContextVar[str](f"{STRUCTLOG_KEY_PREFIX}request_id")
"""A field of log lines, as ``bind_contextvars`` binds it, at a quarter of its cost."""
_WELL_FORMED_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_KNOWN_HEADS_MAX: Final = 256  # most answers share a few
_ID_BYTES: Final = 10  # two of 10 million have the same with a probability of 4e-11
_IDS_AT_ONCE: Final = 64  # a system call takes longer than the rest of making an id
_SECURE_SCHEMES: Final = frozenset({"https", "wss"})
_STARTS: Final = frozenset({"http.response.start", "websocket.http.response.start", "websocket.accept"})
_DATA_TYPES: Final = frozenset(
    {
        b"application/json",
        b"application/problem+json",
        b"application/x-ndjson",
        b"text/event-stream",
        b"text/plain",
    }
)
_NOSNIFF: Final = (b"x-content-type-options", b"nosniff")
_NO_STORE: Final = (b"cache-control", b"no-store")
_HSTS: Final = b"strict-transport-security"
_FIRST_ERROR: Final = 400
DATA_HEADERS: Final = (
    _NOSNIFF,
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),  # not for CORS requests (WHATWG Fetch section 3.7)
    (b"referrer-policy", b"no-referrer"),
)
"""The headers of answers that are data: JSON, problems, event streams, metrics."""


class SiteSettings(Protocol):
    """The settings of the section ``server`` that decide about requests."""

    @property
    def bind(self) -> Sequence[str]: ...

    @property
    def hosts(self) -> Sequence[str]: ...

    @property
    def cors_origins(self) -> Sequence[str]: ...

    @property
    def cors_headers(self) -> Sequence[str]: ...

    @property
    def cors_credentials(self) -> bool: ...

    @property
    def hsts_seconds(self) -> int: ...


@attrs.frozen
class GuardPolicy:
    """The rules of a :class:`Guard`.

    Args:
        hosts: the names of the server.
        cors: the pages of other origins that may use it.
        hsts_seconds: time for which browsers use TLS only, once they have (s); 0: they are not told.
        checks_default_hosts: under a foreign server, too, although that may be in a public place.
    """

    hosts: AllowedHosts = attrs.field(factory=lambda: AllowedHosts(()))
    cors: Cors = Cors()
    hsts_seconds: int = 0
    checks_default_hosts: bool = False

    @classmethod
    def from_settings(cls, settings: RuntimeSettings, *, checks_default_hosts: bool = False) -> "GuardPolicy":
        """Build the rules from the settings, which may lack the section ``server``."""
        server: SiteSettings | None = getattr(settings, "server", None)
        unnamed = (EVERY_HOST,) if settings.auth.has_keys else ()
        if server is None:
            return cls(AllowedHosts(unnamed), checks_default_hosts=checks_default_hosts)
        return cls(
            AllowedHosts(server.hosts or unnamed, server.bind),
            make_cors(server),
            server.hsts_seconds,
            checks_default_hosts,
        )

    def check(self, scope: Scope, headers: Mapping[bytes, bytes], hosts: Iterable[bytes]) -> None:
        """Check a request.

        Args:
            scope: of the request.
            headers: its header fields by lower-case name; of repeated ones, the first.
            hosts: all of its ``Host`` headers: on HTTP/2 there may be one beside ``:authority``.

        Raises:
            MisdirectedHost: the server has another name.
            CrossSite: a page of another site wants to change something, or to open a WebSocket.
        """
        own = scope.get("server")
        for host in hosts:
            allowed = self.hosts.allow(host, own[0] if own else None, scope.get("scheme", "http"))
            if not allowed and self._checks_hosts(scope):
                raise MisdirectedHost(
                    f"Host must be a name of this server; got {quoted(host.decode('latin1'))}. "
                    "Its setting server.hosts lists them",
                    field="Host",
                )
        if _FETCH_SITE not in headers and _ORIGIN not in headers:
            return
        if scope.get("method") not in SAFE_METHODS:  # a WebSocket has none
            check_site(
                self.cors,
                _text(headers.get(_FETCH_SITE)),
                _text(headers.get(_ORIGIN)),
                _text(headers.get(_HOST)) or "",
                secure=scope.get("scheme") in _SECURE_SCHEMES,
            )

    def _checks_hosts(self, scope: Scope) -> bool:
        if route_path(scope) in UNCHECKED_PATHS:
            return False
        return not self.hosts.is_default or self.checks_default_hosts or find_transport(scope) is not None


def make_cors(server: SiteSettings) -> Cors:
    """Build the rules for pages of other origins from the settings."""
    return Cors(tuple(server.cors_origins), tuple(server.cors_headers), server.cors_credentials)


Serve = Callable[[Send, bytes | None], Awaitable[None]]
"""Serves a repetition of a request, given its ``send``, and its whole body unless that must be received."""


class Guard:
    """An ASGI application that checks each request, and passes it on to ``inner``.

    Args:
        inner: the application.
        metrics: counts the refused requests.
        policy: the rules.

    Attributes:
        checks_targets: True if path and query must be UTF-8; routes of a program may have other rules.
        entry: the application that a server calls, which passes each request on to this one. Where another
            one wraps it, no request is served as a repetition, which that one would not see.
    """

    def __init__(self, inner: Any, metrics: Metrics, policy: GuardPolicy) -> None:
        self.inner = inner
        self.policy = policy
        self.checks_targets = False
        self.entry: Any = None
        self._metrics = metrics
        self._ids: list[str] = []  # random ones that are not used yet

    def apply_settings(self, settings: RuntimeSettings) -> None:
        """Apply the settings that decide about requests."""
        everywhere = self.policy.checks_default_hosts
        self.policy = GuardPolicy.from_settings(settings, checks_default_hosts=everywhere)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] not in ("http", "websocket"):
            passed_on: Awaitable[None] = self.inner(scope, receive, send)
            return passed_on
        fields = scope["headers"]
        headers = dict(fields)
        given_id = headers.get(_REQUEST_ID)  # the last, of a proxy
        hosts: Iterable[bytes] = (headers[_HOST],) if _HOST in headers else ()
        if len(headers) < len(fields):  # some names are repeated
            headers = dict(reversed(fields))
            hosts = [value for name, value in fields if name == _HOST]
        if given_id is not None and not _WELL_FORMED_ID.fullmatch(given_id):
            given_id = None
        policy = self.policy
        more: tuple[Field, ...] = ()
        if policy.hsts_seconds and scope.get("scheme") in _SECURE_SCHEMES:
            more = ((_HSTS, b"max-age=%d" % policy.hsts_seconds),)
        transport = find_transport(scope)
        if getattr(send, "__self__", None) is not transport:  # an application in between wraps it
            transport = None
        repeats = None
        if getattr(transport, "is_repeated", False) and scope.get(ENTRY) is self.entry:
            repeats = partial(self._leave_repeats, transport, policy, given_id, more)
        answer = _Answer(send, transport, (self._begin(given_id), *more), repeats)
        try:
            policy.check(scope, headers, hosts)
            if self.checks_targets:
                check_target(scope)
        except StreamdError as refusal:
            return self._refuse(refusal, _text(headers.get(_ORIGIN)), scope, receive, answer)
        served: Awaitable[None] = self.inner(scope, receive, answer)
        return served

    def _leave_repeats(
        self,
        transport: Any,
        policy: GuardPolicy,
        given_id: bytes | None,
        more: tuple[Field, ...],
        answer: "_Answer",
        serve: Serve,
    ) -> None:
        """Let repetitions of a request pass that was checked; what was checked is the same in them."""

        def serve_again(body: bytes | None) -> Awaitable[None] | None:
            if self.policy is not policy:
                return None
            answer.own_fields = (self._begin(given_id), *more)
            return serve(answer, body)

        transport.on_repeat(serve_again)

    def _begin(self, given_id: bytes | None) -> Field:
        """Return the header with the id of a request, and bind the id to its log lines.

        An id is random, because a number would tell clients how many requests there are.
        """
        if given_id is not None:
            request_id = given_id.decode()
        else:
            if not self._ids:
                digits = _ID_BYTES * 2
                block = os.urandom(_ID_BYTES * _IDS_AT_ONCE).hex()
                self._ids = [block[start : start + digits] for start in range(0, len(block), digits)]
            request_id = self._ids.pop()
        _request_id.set(request_id)  # in the trio task that serves the request
        return _REQUEST_ID, request_id.encode()

    async def _refuse(
        self, error: StreamdError, origin: str | None, scope: Scope, receive: Receive, send: Send
    ) -> None:
        began = time.perf_counter()
        cors = self.policy.cors.answer_headers(origin)
        if scope["type"] == "http":
            await send_problem(send, error, cors)
        else:
            await receive()  # websocket.connect
            if "websocket.http.response" in (scope.get("extensions") or {}):
                await send_problem(_ForWebSocket(send), error, cors)
            else:
                await send({"type": "websocket.close", "code": error.websocket_close})
        record_request(self._metrics, scope.get("method", "GET"), UNKNOWN_ROUTE, error.status, began)


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin1")


def _headers_of_type(content_type: bytes) -> tuple[Field, ...]:
    """Return the headers of answers with this ``Content-Type``."""
    media_type = content_type.partition(b";")[0].strip().lower()
    return DATA_HEADERS if media_type in _DATA_TYPES else (_NOSNIFF,)


_NOTHING_GIVEN: Final[tuple[tuple[Field, ...], int]] = (), 0


class _Answer:
    """The ``send`` of a request, which adds headers to the head of the answer.

    Args:
        send: of the server.
        transport: of the request, if nothing wraps ``send``.
        own_fields: the headers to add besides those that many answers share.
        repeats: see :attr:`on_repeat`; called with this object before the function.
    """

    __slots__ = ("_completed", "_given", "_repeats", "_send", "_transport", "own_fields")

    def __init__(
        self,
        send: Send,
        transport: Transport | None,
        own_fields: tuple[Field, ...],
        repeats: "Callable[[_Answer, Serve], None] | None" = None,
    ) -> None:
        self.own_fields = own_fields
        self._send = send
        self._transport = transport
        self._repeats = repeats
        self._given = _NOTHING_GIVEN  # fields and status of the last answer
        self._completed: tuple[Field, ...] = ()

    @property
    def on_repeat(self) -> Callable[[Serve], None] | None:
        """Leaves a function that serves repetitions of this request; None if they must come as any other."""
        return self._repeats and partial(self._repeats, self)

    def __call__(self, message: Any) -> Awaitable[None]:
        if message["type"] in _STARTS:
            status = message.get("status", 0)  # an accepted WebSocket has none
            message = {**message, "headers": self._extend(status, message.get("headers", ()))}
        return self._send(message)

    def respond(
        self, status: int, fields: tuple[Field, ...], own_fields: Sequence[Field], body: bytes
    ) -> bool:
        """Send a whole response in one step; False, and nothing is sent, if the server cannot."""
        respond: Callable[..., bool] | None = getattr(self._transport, "respond", None)
        if respond is None:
            return False
        own_fields = (*own_fields, *self.own_fields)
        given_fields, given_status = self._given
        if fields is not given_fields or status != given_status:
            self._given = fields, status
            self._completed = _complete(fields, status >= _FIRST_ERROR)
        return respond(status, self._completed, own_fields, body)

    def begin_stream(self, fields: tuple[Field, ...], own_fields: Sequence[Field]) -> bool:
        """Begin a stream in one step; False, and nothing is done, if the server cannot."""
        begin: Callable[..., bool] | None = getattr(self._transport, "begin_stream", None)
        if begin is None or _REQUEST_ID in dict(fields):
            return False
        return begin(_complete(fields, False), (*own_fields, *self.own_fields))

    def _extend(self, status: int, headers: Iterable[Field]) -> list[Field]:
        fields = _complete(tuple((name, value) for name, value in headers), status >= _FIRST_ERROR)
        present = {name for name, _ in fields}
        return [*fields, *(field for field in self.own_fields if field[0] not in present)]


@lru_cache(_KNOWN_HEADS_MAX)
def _complete(fields: tuple[Field, ...], is_error: bool) -> tuple[Field, ...]:
    """Return the fields of an answer with those that it lacks, see :mod:`.guard`."""
    present = dict(fields)
    more = _headers_of_type(present.get(b"content-type", b""))
    if is_error:
        more = (*more, _NO_STORE)
    return (*fields, *(field for field in more if field[0] not in present))


class _ForWebSocket:
    """The ``send`` of an answer that refuses a WebSocket handshake (ASGI, WebSocket Denial Response)."""

    def __init__(self, send: Send) -> None:
        self._send = send

    def __call__(self, message: Any) -> Awaitable[None]:
        return self._send({**message, "type": f"websocket.{message['type']}"})
