"""The second door of a handler: its view, for programs with hooks, and for OpenAPI."""

from collections.abc import Awaitable, Callable
from functools import wraps

from quart import g
from quart.wrappers import Response

from ...transports import StreamRequest
from ..responses import EventStream
from .request import current_request
from .table import HANDLER, Handler


def hot(handler: Handler) -> Callable[..., Awaitable[Response]]:
    """Turn a handler into a view, whose route is hot: :class:`~.door.HotRoutes` serves it, too."""

    @wraps(handler)
    async def view(**parameters: str) -> Response:
        asked = current_request()
        try:
            answer = await handler(asked, **parameters)
        finally:
            g.streamd_limits = [*g.get("streamd_limits", ()), *asked.taken_limits]
        return EventStream(answer) if isinstance(answer, StreamRequest) else answer.as_response()

    setattr(view, HANDLER, handler)
    return view
