"""The ASGI application that serves the hot routes, and passes everything else on to the web framework."""

import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing
from typing import Any, Final

import trio
from quart import Quart

from ...errors import StreamdError, Unavailable
from ...limits import LimitName, rate_limit_fields
from ...proxies import route_path
from ...runtime import Runtime
from ...transports import StreamRequest
from ...transports.asgi import Field, Receive, Scope, Send, find_transport, respond_nowait, send_answer
from ...transports.sse import HEADERS, serve_subscription
from ..guard import Serve
from ..limits import identify_within
from ..observe import record_departure, record_request
from ..origins import Cors
from ..problems import UNEXPECTED, problem_answer
from ..rejections import closing_answer, rejection_answer
from ..requests import prefers_retry
from .answer import HTTPAnswer
from .body import ClientLeft, ReceivedBody
from .request import HTTPRequest
from .table import HotRoute, HotRouteTable

_STREAM_HEAD: Final[tuple[Field, ...]] = tuple(
    (name.lower().encode(), value.encode()) for name, value in HEADERS.items()
)
_HOOKS: Final = (
    "before_request_funcs",
    "after_request_funcs",
    "teardown_request_funcs",
    "url_value_preprocessors",
    "error_handler_spec",
)


class HotRoutes:
    """An ASGI application that serves the hot routes itself and passes everything else to ``inner``.

    If hooks were added to the Quart application, such as an authentication check, ``inner`` serves every
    request, so that no hook is bypassed.

    Args:
        inner: the ASGI application to wrap.
        app: the Quart application, with all of streamd's own hooks.
        runtime: the parts of the application.
        cors: the pages of other origins that may read responses.
        find_limit: returns the class of limits of an endpoint.
    """

    def __init__(
        self,
        inner: Any,
        app: Quart,
        runtime: Runtime,
        cors: Cors,
        find_limit: Callable[[str], LimitName | None],
    ) -> None:
        self._inner = inner
        self._app = app
        self._runtime = runtime
        self._broker = runtime.broker
        self._cors = cors
        self._find_limit = find_limit
        self._own_hooks = _hooks_of(app)
        self._table: HotRouteTable | None = None  # without it, nothing is hot
        self._is_decided = False  # at the first request, when all hooks and routes are registered

    @property
    def are_served(self) -> bool:
        """True once it is decided that no hook of the application would be bypassed."""
        return self._table is not None

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "http":
            if not self._is_decided:
                self._decide()
            if self._table is not None:
                found = self._table.find(route_path(scope), scope["method"])
                if found is not None:
                    return self._serve(*found, scope, receive, send)
        passed_on: Awaitable[None] = self._inner(scope, receive, send)
        return passed_on

    def _decide(self) -> None:
        self._is_decided = True
        if _hooks_of(self._app) == self._own_hooks:
            self._table = HotRouteTable(self._app, self._find_limit)

    def _serve(
        self, route: HotRoute, parameter: str, scope: Scope, receive: Receive, send: Send
    ) -> Awaitable[None]:
        """Serve a request, and leave a function that serves its repetitions."""
        transport = find_transport(scope)
        body = ReceivedBody(receive, transport)
        request = HTTPRequest(scope, body, self._runtime, self._cors.origins)
        on_repeat: Callable[[Serve], None] | None = getattr(send, "on_repeat", None)
        if on_repeat is not None and not route.is_stream:
            original = {**scope}
            request.parse()

            def serve_again(send: Send, whole: bytes | None) -> Awaitable[None]:
                body.repeat(whole)
                request.repeat({**original})
                return self._respond(route, parameter, request, body, send)

            on_repeat(serve_again)
        return self._respond(route, parameter, request, body, send)

    async def _respond(
        self, route: HotRoute, parameter: str, request: HTTPRequest, body: ReceivedBody, send: Send
    ) -> None:
        began = time.perf_counter()
        answer: HTTPAnswer | StreamRequest | None
        try:
            if route.limit is not None and self._broker.limits.is_limited(route.limit):
                await self._take_limit(route.limit, request)
            if route.parameter is None:
                answer = await route.handler(request)
            else:
                answer = await route.handler(request, **{route.parameter: parameter})
        except trio.Cancelled:
            record_departure(request.method, route.rule, began)
            raise
        except Exception as error:  # noqa: BLE001 - a bug in one request must not end the connection
            answer = self._answer_error(error, request, route, began)
            if answer is None:
                return
        scope = request.scope
        method: str = scope["method"]
        fields: Sequence[Field] = ()
        if request.taken_limits or self._cors.origins:
            fields = self._common_fields(request)
        if isinstance(answer, StreamRequest):
            retries = method == "GET" and prefers_retry(request, self._broker)
            serving: Awaitable[None]
            try:
                if find_transport(scope) is None:
                    serving = self._stream_until_disconnect(answer, scope, body, send, fields)
                else:  # it reports a disconnect
                    serving = serve_subscription(self._broker, answer, scope, send, _STREAM_HEAD, fields)
                # The stream may last for hours: free what it does not need.
                scope["headers"].clear()
                del answer, request, body, scope
                await serving
                return
            except StreamdError as rejection:  # before the head is sent; later errors end in the stream
                answer = (
                    closing_answer(rejection, self._broker.settings)
                    if retries and isinstance(rejection, Unavailable)
                    else problem_answer(rejection)
                )
        content = answer.body
        record_request(self._broker.metrics, method, route.rule, answer.status, began)
        if isinstance(content, bytes) and respond_nowait(
            send, answer.status, answer.headers, content, fields
        ):
            return
        if content is None or isinstance(content, bytes):
            is_head = method == "HEAD"
            await send_answer(
                send, answer.status, answer.headers, content, own_fields=fields, is_head_request=is_head
            )
        else:
            answer.headers += tuple(fields)
            await _send_parts(answer, content, body, send)

    def _answer_error(
        self, error: Exception, request: HTTPRequest, route: HotRoute, began: float
    ) -> HTTPAnswer | None:
        """Return the problem that an error of a handler stands for; None if the client has left."""
        if isinstance(error, StreamdError):
            return rejection_answer(error, request, is_stream=route.is_stream)
        if isinstance(error, ClientLeft):
            record_departure(request.method, route.rule, began)
            return None
        where = f"{request.method} {request.scope['path']}"
        self._app.logger.error("Exception on request %s", where, exc_info=error)
        return problem_answer(UNEXPECTED)

    async def _take_limit(self, name: LimitName, request: HTTPRequest) -> None:
        """Ask the limit of a route.

        Raises:
            StreamdError: see :func:`~..limits.identify_within`.
        """
        address, describe = request.remote_addr or "", request.taken_limits.append
        await identify_within(self._broker.limits, name, request.identify(), address, describe)

    def _common_fields(self, request: HTTPRequest) -> list[Field]:
        """Build the header fields of limits and CORS."""
        pairs = rate_limit_fields(request.taken_limits)
        pairs += self._cors.answer_headers(request.headers.get("origin"))
        return [(name.lower().encode(), text.encode()) for name, text in pairs]

    async def _stream_until_disconnect(
        self, request: StreamRequest, scope: Scope, body: ReceivedBody, send: Send, fields: Sequence[Field]
    ) -> None:
        """Serve an event stream under a server that reports a disconnect by ``receive`` alone.

        Raises:
            StreamdError: the client was rejected; nothing was sent.
        """
        rejection: StreamdError | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_cancel_on_disconnect, body, nursery.cancel_scope)
            try:
                await serve_subscription(self._broker, request, scope, send, _STREAM_HEAD, fields)
            except StreamdError as error:  # raised outside the nursery, which would wrap it
                rejection = error
            nursery.cancel_scope.cancel()
        if rejection is not None:
            raise rejection


async def _send_parts(
    answer: HTTPAnswer, parts: AsyncGenerator[bytes, None], body: ReceivedBody, send: Send
) -> None:
    """Send an answer whose parts are made while the body of the request is received."""
    async with trio.open_nursery() as nursery:
        if body.ahead is not None:
            # Receive first: a client that expects 100 gets it before the head of the answer.
            await nursery.start(body.receive_ahead, nursery.cancel_scope)
        async with aclosing(parts):
            await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
            async for part in parts:
                await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        nursery.cancel_scope.cancel()


async def _cancel_on_disconnect(body: ReceivedBody, serving: trio.CancelScope) -> None:
    await body.wait_for_disconnect()
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
