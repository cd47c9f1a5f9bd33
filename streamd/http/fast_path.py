"""``GET /events`` on plain ASGI, past the web framework.

A subscription is by far the most frequent request, and after a restart all of them come at once. The
framework would take most of the time that one costs, and most of its memory for as long as it lasts.
"""

import time
from collections.abc import Awaitable, Iterator, Sequence
from typing import Any, Final
from urllib.parse import parse_qs

import attrs
import trio
from quart import Quart

from ..broker import Broker
from ..errors import StreamdError
from ..transports import open_stream
from ..transports.asgi import Receive, Scope, Send, find_transport
from ..transports.sse import HEADERS, serve_sse
from .observe import cors_headers
from .problems import problem_response
from .requests import parse_stream_request

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
class Query:
    """The parameters of a query string, asked for in the way of the web framework's."""

    values: dict[str, list[str]]

    def get(self, name: str) -> str | None:
        """The first value of a parameter."""
        return self.values[name][0] if name in self.values else None

    def getlist(self, name: str) -> list[str]:
        """All values of a parameter."""
        return self.values.get(name, [])


@attrs.frozen
class DirectRequest:
    """What :func:`~.requests.parse_stream_request` needs of a request."""

    args: Query
    headers: dict[str, str]  # by lower-case name; of a repeated one, the last
    remote_addr: str | None

    @classmethod
    def of(cls, scope: Scope) -> "DirectRequest":
        query = scope["query_string"].decode("utf-8", "replace")
        headers = {name.decode("latin1"): value.decode("latin1") for name, value in scope["headers"]}
        client = scope.get("client")
        return cls(Query(parse_qs(query, keep_blank_values=True)), headers, client[0] if client else None)


class DirectEvents:
    """An application's ASGI entrance, at which ``GET /events`` turns off.

    An application that got hooks of its own, such as a check of who is asking, is left to handle
    every request by itself.

    Args:
        inner: the application's entrance so far.
        app: the application, with all of streamd's own hooks.
        origins: whose pages may read the answers, see :func:`~.observe.allow_origins`.
    """

    def __init__(self, inner: Any, app: Quart, broker: Broker, origins: Sequence[str]) -> None:
        self._inner = inner
        self._app = app
        self._broker = broker
        self._origins = origins
        self._own_hooks = _hooks_of(app)
        self._applies: bool | None = None  # decided at the first request, when all hooks are there

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "http" and scope["path"] == PATH and scope["method"] in ("GET", "HEAD"):
            if self._applies is None:
                self._applies = _hooks_of(self._app) == self._own_hooks
            if self._applies and find_transport(scope) is not None:  # which tells when the client leaves
                return self._serve(scope, send)
            if self._applies:
                return self._serve_watching(scope, receive, send)
        entered: Awaitable[None] = self._inner(scope, receive, send)
        return entered

    async def _serve_watching(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_until_disconnect, receive, nursery.cancel_scope)
            await self._serve(scope, send)
            nursery.cancel_scope.cancel()

    async def _serve(self, scope: Scope, send: Send) -> None:
        began = time.perf_counter()
        asked = DirectRequest.of(scope)
        allowed = cors_headers(self._origins, asked.headers.get("origin"))
        try:
            request = parse_stream_request(asked, self._broker)
            del asked  # a stream may last for long, and nobody looks at these any more
            scope["headers"].clear()
            with open_stream(self._broker, "sse", request) as (connection, subscription):
                headers = [*_HEAD, *((name.lower().encode(), value.encode()) for name, value in allowed)]
                await serve_sse(self._broker, connection, subscription, scope, send, headers)
        except StreamdError as refused:  # before the head is out; later ones end in the stream
            response = problem_response(refused)
            for name, value in allowed:
                response.headers.add(name, value)
            body = await response.get_data(as_text=False)
            head = [(name.lower().encode(), value.encode()) for name, value in response.headers.items()]
            await send({"type": "http.response.start", "status": response.status_code, "headers": head})
            await send({"type": "http.response.body", "body": body, "more_body": False})
            seconds = time.perf_counter() - began
            labels = (scope["method"], PATH, response.status_code)
            self._broker.metrics.request_seconds.labels(*labels).observe(seconds)


async def _until_disconnect(receive: Receive, serving: trio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    serving.cancel()


def _hooks_of(app: Quart) -> list[object]:
    """All functions that an application runs around its views."""
    return [function for kind in _HOOKS for function in _leaves(getattr(app, kind, {}))]


def _leaves(found: object) -> Iterator[object]:
    """What nested dictionaries and lists hold."""
    if isinstance(found, dict):
        found = list(found.values())
    if isinstance(found, list):
        for part in found:
            yield from _leaves(part)
    else:
        yield found
