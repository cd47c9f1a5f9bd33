"""``GET /events`` on plain ASGI, without the web framework.

Subscribing is by far the most frequent request, and after a restart all clients reconnect at once. Quart
would take most of the CPU time of that request, and most of its memory while the stream lasts.
"""

import time
from collections.abc import Awaitable, Iterator
from typing import Any, Final
from urllib.parse import parse_qs

import attrs
import trio
from quart import Quart

from ..auth import Caller
from ..errors import StreamdError
from ..limits import LimitName, TakenLimit, rate_limit_fields
from ..proxies import route_path
from ..runtime import Runtime
from ..transports.asgi import Receive, Scope, Send, find_transport
from ..transports.sse import HEADERS, serve_subscription
from .callers import identify_caller, restrict
from .limits import identify_within
from .observe import record_request
from .origins import Cors
from .rejections import send_rejection
from .requests import parse_on_limit, parse_stream_request, prefers_retry

PATH: Final = "/events"
_HEAD: Final = tuple((name.lower().encode(), value.encode()) for name, value in HEADERS.items())
_HOOKS: Final = (
    "before_request_funcs",
    "after_request_funcs",
    "teardown_request_funcs",
    "url_value_preprocessors",
    "error_handler_spec",
)


@attrs.frozen
class QueryParameters:
    """The parameters of a query string, with the two lookups of Quart's ``request.args``."""

    values: dict[str, list[str]]

    def get(self, name: str) -> str | None:
        """Return the first value of a parameter; None without one."""
        return self.values[name][0] if name in self.values else None

    def getlist(self, name: str) -> list[str]:
        """Return all values of a parameter."""
        return self.values.get(name, [])


@attrs.frozen
class ScopeRequest:
    """An ASGI scope as a :class:`~.requests.RequestLike`."""

    args: QueryParameters
    headers: dict[str, str]  # by lower-case name; the last value of a repeated header
    remote_addr: str | None

    @classmethod
    def from_scope(cls, scope: Scope) -> "ScopeRequest":
        """Decode the query string and the headers of a scope."""
        query = scope["query_string"].decode("utf-8", "replace")
        headers = {name.decode("latin1"): value.decode("latin1") for name, value in scope["headers"]}
        client = scope.get("client")
        return cls(
            QueryParameters(parse_qs(query, keep_blank_values=True)), headers, client[0] if client else None
        )


class EventsFastPath:
    """An ASGI application that serves ``GET /events`` itself and passes everything else to ``inner``.

    If hooks were added to the Quart application, such as an authentication check, ``inner`` serves every
    request, so that no hook is bypassed.

    Args:
        inner: the ASGI application to wrap.
        app: the Quart application, with all of streamd's own hooks.
        runtime: the parts that a stream needs.
        cors: the pages of other origins that may read responses.
    """

    def __init__(self, inner: Any, app: Quart, runtime: Runtime, cors: Cors) -> None:
        self._inner = inner
        self._app = app
        self._runtime = runtime
        self._broker = runtime.broker
        self._cors = cors
        self._own_hooks = _hooks_of(app)
        self._applies: bool | None = None  # decided at the first request, when all hooks are registered

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "http" and route_path(scope) == PATH and scope["method"] in ("GET", "HEAD"):
            if self._applies is None:
                self._applies = _hooks_of(self._app) == self._own_hooks
            if self._applies and find_transport(scope) is not None:  # the transport reports a disconnect
                return self._serve(scope, send)
            if self._applies:
                return self._serve_until_disconnect(scope, receive, send)
        passed_on: Awaitable[None] = self._inner(scope, receive, send)
        return passed_on

    async def _serve_until_disconnect(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_cancel_on_disconnect, receive, nursery.cancel_scope)
            await self._serve(scope, send)
            nursery.cancel_scope.cancel()

    async def _serve(self, scope: Scope, send: Send) -> None:
        began = time.perf_counter()
        request = ScopeRequest.from_scope(scope)
        fields = self._cors.answer_headers(request.headers.get("origin"))
        retries = scope["method"] == "GET" and prefers_retry(request, self._broker)
        try:
            runtime = self._runtime
            caller = await self._identify(scope, request.remote_addr or "", fields)
            stream_request = parse_stream_request(request, self._broker, caller)
            if not runtime.access.is_open:
                stream_request = await restrict(stream_request, runtime, caller)
            parse_on_limit(request, self._broker)
            del request  # free the headers: the stream may last for hours
            scope["headers"].clear()
            headers = [*_HEAD, *((name.lower().encode(), value.encode()) for name, value in fields)]
            await serve_subscription(self._broker, stream_request, scope, send, headers)
        except StreamdError as rejection:  # raised before the head is sent; later errors end in the stream
            status = await send_rejection(
                send, rejection, [*HEADERS.items(), *fields], self._broker.settings, retries=retries
            )
            record_request(self._broker.metrics, scope["method"], PATH, status, began)

    async def _identify(self, scope: Scope, address: str, fields: list[tuple[str, str]]) -> Caller:
        """Identify the caller. If new streams are limited, add the header fields of that limit to ``fields``.

        Raises:
            StreamdError: see :func:`~.limits.identify_within`.
        """
        limits, access = self._broker.limits, self._runtime.access
        identified = identify_caller(access, scope, self._cors.origins)
        if not limits.is_limited(LimitName.CONNECT):
            return await identified

        def describe(taken: TakenLimit) -> None:
            fields.extend(rate_limit_fields([taken]))

        return await identify_within(limits, LimitName.CONNECT, identified, address, describe)


async def _cancel_on_disconnect(receive: Receive, serving: trio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    serving.cancel()


def _hooks_of(app: Quart) -> list[object]:
    """List all functions that an application runs around its views."""
    return [function for kind in _HOOKS for function in _leaves(getattr(app, kind, {}))]


def _leaves(found: object) -> Iterator[object]:
    """Yield the values of nested dictionaries and lists."""
    if isinstance(found, dict):
        found = list(found.values())
    if isinstance(found, list):
        for part in found:
            yield from _leaves(part)
    else:
        yield found
