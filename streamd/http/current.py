"""The current request, and the runtime of the application that handles it."""

from typing import Final

from quart import current_app, has_websocket_context, request, websocket
from quart.wrappers.base import BaseRequestWebsocket

from ..runtime import Runtime

EXTENSION: Final = "streamd"
"""The key of the :class:`~streamd.Streamd` in ``app.extensions``."""


def request_or_upgrade() -> BaseRequestWebsocket:
    """Return the current request, or the current WebSocket's upgrade."""
    return websocket if has_websocket_context() else request


def current_runtime() -> Runtime:
    """Return the runtime of the application that handles the current request.

    Raises:
        RuntimeError: the application has no streamd; ``Streamd(app)`` gives it one.
    """
    try:
        return current_app.extensions[EXTENSION].runtime  # type: ignore[no-any-return]
    except KeyError:
        raise RuntimeError("this application has no streamd: call Streamd(app) first") from None
