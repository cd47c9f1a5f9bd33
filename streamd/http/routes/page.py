"""The page at ``/`` and its files under ``/static/``."""

from typing import Final

from quart import Blueprint, Response, request
from quart_schema import hide

from ..assets import Asset, load_assets

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

_assets: Final = load_assets()

web = Blueprint("streamd_web", __name__)
"""The blueprint with ``/`` and the files under ``/static/``."""


@web.get("/")
@hide
async def page() -> Response:
    """Serve the page."""
    return await _answer(_assets[PAGE])


@hide
async def static_file(name: str) -> Response:
    """Serve one of the page's files."""
    return await _answer(_assets[name])


# One exact route per file: no other name can be requested, and an application keeps its own static folder,
# because an exact route has precedence over a pattern. The page is at / only, the base of its relative URLs.
for _name in _assets.keys() - {PAGE}:
    web.add_url_rule(
        f"/static/{_name}", "static_file", static_file, defaults={"name": _name}, methods=["GET"]
    )


async def _answer(asset: Asset) -> Response:
    """Build the response with an asset, or 304 if the client has it (RFC 9110 section 13.1.2)."""
    response = Response(asset.content, content_type=asset.content_type, headers=HEADERS)
    response.set_etag(asset.etag)
    return await response.make_conditional(request)
