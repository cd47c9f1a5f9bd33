"""The page at ``/`` with its files under ``/static/``, and the browser client under ``/client/``."""

from collections.abc import Mapping
from typing import Final

from quart import Blueprint, Response
from quart_schema import hide

from ..assets import Asset, load_assets
from ..conditions import conditional

PAGE: Final = "index.html"

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'self'; "  # scripts, styles, fetch and EventSource from this origin only, nothing inline
    "object-src 'none'; "
    "base-uri 'none'; "
    "form-action 'none'; "  # the page's script handles its forms
    "frame-ancestors 'none'"
)

HEADERS: Final = {
    # Revalidate each time (304): URLs without a version must not mix the modules of two releases.
    "Cache-Control": "no-cache",
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

CLIENT_HEADERS: Final = {
    # Also because its modules import each other: two releases must not be mixed.
    "Cache-Control": "no-cache",
    # Pages of all origins may import the client, which is no secret. Whether they may use the server is up to
    # server.cors_origins.
    "Access-Control-Allow-Origin": "*",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "X-Content-Type-Options": "nosniff",
}

_page_files: Final = load_assets("http/static")
_client_files: Final = load_assets("web/client/dist", suffix=".js")

web = Blueprint("streamd_web", __name__)
"""The blueprint with ``/`` and the files under ``/static/`` and ``/client/``."""


@web.get("/")
@hide
async def page() -> Response:
    """Serve the page."""
    return await _answer(_page_files[PAGE], HEADERS)


@hide
async def static_file(name: str) -> Response:
    """Serve one of the page's files."""
    return await _answer(_page_files[name], HEADERS)


@hide
async def client_file(name: str) -> Response:
    """Serve a module of the browser client."""
    return await _answer(_client_files[name], CLIENT_HEADERS)


# One exact route per file: no other name can be requested, and an application keeps its own folders of these
# names, because an exact route has precedence over a pattern. The page is at / only, the base of its relative
# URLs.
for _name in _page_files.keys() - {PAGE}:
    web.add_url_rule(
        f"/static/{_name}", "static_file", static_file, defaults={"name": _name}, methods=["GET"]
    )
for _name in _client_files:
    web.add_url_rule(
        f"/client/{_name}", "client_file", client_file, defaults={"name": _name}, methods=["GET"]
    )


async def _answer(asset: Asset, headers: Mapping[str, str]) -> Response:
    """Build the response with an asset, or 304 if the client has it.

    Raises:
        PreconditionFailed: the client asks for another one.
    """
    response = Response(asset.content, content_type=asset.content_type, headers=dict(headers))
    response.set_etag(asset.etag)
    return conditional(response)
