"""``OPTIONS *``: a question about the server, not about a resource (RFC 9110 section 9.3.7)."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

_ALLOW: Final = b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"

Application = Callable[[Any, Any, Any], Awaitable[None]]


def for_target(app: Application, scope: Any) -> Application:
    """Return the application that answers a request: ``app``, but for the target ``*``."""
    return _answer_options if scope["raw_path"] == b"*" else app


async def _answer_options(_scope: Any, _receive: Any, send: Any) -> None:
    """Answer 204 with the methods that resources of the server have."""
    await send({"type": "http.response.start", "status": 204, "headers": [(b"allow", _ALLOW)]})
    await send({"type": "http.response.body", "body": b"", "more_body": False})
