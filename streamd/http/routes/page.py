"""The blueprint of the page."""

from typing import Final

from quart import Blueprint, Response, request
from quart_schema import hide

from ..assets import Asset, load_assets

PAGE: Final = "index.html"

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'self'; "  # scripts, styles, fetch and EventSource: from here only, nothing inline
    "object-src 'none'; "
    "base-uri 'none'; "
    "form-action 'none'; "  # the page's forms are handled by its script
    "frame-ancestors 'none'"
)

HEADERS: Final = {
    # Asked again each time, answered 304: addresses without a version must not mix two releases' modules.
    "Cache-Control": "no-cache",
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

_assets: Final = load_assets()

web = Blueprint("streamd_web", __name__)
"""Serves ``/`` and the files under ``/static/``."""


@web.get("/")
@hide
async def page() -> Response:
    """Answer the page."""
    return await _answer(_assets[PAGE])


@hide
async def static_file(name: str) -> Response:
    """Answer one of the page's files."""
    return await _answer(_assets[name])


# A route for each file: no other name can be asked for, and an app that has a static folder of its own keeps
# it, because an exact route goes before its pattern. The page is at / only, where its addresses hold.
for _name in _assets.keys() - {PAGE}:
    web.add_url_rule(
        f"/static/{_name}", "static_file", static_file, defaults={"name": _name}, methods=["GET"]
    )


async def _answer(asset: Asset) -> Response:
    """The asset, or 304 when the client has it already (RFC 9110 section 13.1.2)."""
    response = Response(asset.content, content_type=asset.content_type, headers=HEADERS)
    response.set_etag(asset.etag)
    return await response.make_conditional(request)
