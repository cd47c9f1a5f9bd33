"""URLs that clients can follow, behind proxies that put a prefix before the server's paths."""

from quart import has_request_context, request


def public_url(path: str) -> str:
    """Return the URL of a path of this server as the client of the current request sees it.

    Args:
        path: absolute, with a query if need be, such as ``/tasks/7``.

    Returns:
        The path below the request's URL prefix (``root_path`` of its scope); the path itself outside a
        request.
    """
    return f"{request.root_path}{path}" if has_request_context() else path
