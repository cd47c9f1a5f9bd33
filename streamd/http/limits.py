"""Limits of requests: the class of a route, and the header fields of its answers.

=================================  ==================================================
``POST /events``                   ``publish``, and then events and bytes
WebSocket, ``publish`` messages    the same
``GET /events``, WebSocket         ``connect``
``GET /events/poll``               ``subscribe``
streams of tasks and of services   ``connect``, their polls ``subscribe``
other routes of ``/tasks``         ``tasks``
routes of services                 ``services``
=================================  ==================================================

Health, metrics, the page, the documentation and ``/connections`` have no limit, and neither have preflight
requests (``OPTIONS``). A request whose credentials cannot be used counts for its address.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from quart import Quart, g, request, websocket
from quart.wrappers import Response
from quart.wrappers.base import BaseRequestWebsocket

from ..auth import NOBODY, Caller
from ..errors import StreamdError
from ..limits import LimitName, Limits, TakenLimit, caller_key, rate_limit_fields
from .callers import current_caller
from .problems import document_problems

_ROUTES: Final = {
    "streamd_events.publish": LimitName.PUBLISH,
    "streamd_events.subscribe": LimitName.CONNECT,
    "streamd_events.subscribe_websocket": LimitName.CONNECT,
    "streamd_events.poll_events": LimitName.SUBSCRIBE,
}
_BLUEPRINTS: Final = {"streamd_tasks": LimitName.TASKS}
_LIMIT: Final = "streamd_limit"
"""The attribute of a view with the limit of its requests."""

View = TypeVar("View", bound=Callable[..., Any])


def limited_as(name: LimitName) -> Callable[[View], View]:
    """Count the requests of a view under a limit, whatever the limit of its blueprint is."""

    def limit(view: View) -> View:
        setattr(view, _LIMIT, name)
        return view

    return limit


def _describe(taken: TakenLimit) -> None:
    """Describe a limit in the answer to the current request."""
    g.streamd_limits = [*g.get("streamd_limits", ()), taken]


async def identify_within(
    limits: Limits,
    name: LimitName,
    identified: Awaitable[Caller],
    address: str,
    describe: Callable[[TakenLimit], None],
) -> Caller:
    """Identify the caller of a request that a limit allows. It counts for its address without a user.

    Args:
        limits: all of them.
        name: of the one to ask.
        identified: the caller.
        address: of the client.
        describe: called with the limit, before it is checked.

    Raises:
        TooManyRequests: the limit does not allow it, whatever its credentials.
        StreamdError: its credentials cannot be used.
    """
    caller, rejection = NOBODY, None
    try:
        caller = await identified
    except StreamdError as error:
        rejection = error
    taken = await limits.take(name, caller_key(caller.user, address))
    if taken is not None:
        describe(taken)
        taken.check()
    if rejection is not None:
        raise rejection
    return caller


class RouteLimits:
    """The limits of an application's routes.

    Args:
        app: the application, with the blueprints of the engine alone: those that follow are of services.
    """

    def __init__(self, app: Quart) -> None:
        self._app = app
        self._engine = frozenset(app.blueprints)

    def find(self, endpoint: str | None) -> LimitName | None:
        """Return the limit of an endpoint; None if it has none."""
        own: LimitName | None = getattr(self._app.view_functions.get(endpoint or ""), _LIMIT, None)
        if own is not None:
            return own
        blueprint, dot, _ = (endpoint or "").rpartition(".")
        if dot and blueprint not in self._engine:
            return LimitName.SERVICES
        return _ROUTES.get(endpoint or "") or _BLUEPRINTS.get(blueprint)

    def document(self) -> None:
        """Add 429 to the answers of limited routes in ``/openapi.json``. Call it when all are registered."""
        for rule in self._app.url_map.iter_rules():
            if self.find(rule.endpoint) is not None:
                document_problems(429)(self._app.view_functions[rule.endpoint])


def limit_requests(app: Quart, limits: Limits) -> RouteLimits:
    """Refuse requests above the limits with 429, and describe the limits in every answer of their classes.

    Call it after the blueprints of the engine are registered, and before those of services.
    """
    routes = RouteLimits(app)

    async def check(asked: BaseRequestWebsocket) -> None:
        name = routes.find(asked.endpoint)
        if name is not None and asked.method != "OPTIONS" and limits.is_limited(name):
            address = asked.remote_addr or ""
            await identify_within(limits, name, current_caller(), address, _describe)

    async def check_request() -> None:
        await check(request)

    async def check_websocket() -> None:
        await check(websocket)

    async def describe(response: Response) -> Response:
        for name, value in rate_limit_fields(g.get("streamd_limits", ())):
            response.headers[name] = value
        return response

    async def describe_refusal(response: Response | None) -> Response | None:
        return None if response is None else await describe(response)

    app.before_request(check_request)
    app.before_websocket(check_websocket)
    app.after_request(describe)
    app.after_websocket(describe_refusal)  # type: ignore[type-var] # Quart passes None after a normal end
    return routes
