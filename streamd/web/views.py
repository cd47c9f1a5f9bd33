"""The blueprint of the page."""

from typing import Final

from quart import Blueprint, Response, abort, request

from .assets import Asset, load_assets

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

web = Blueprint("streamd_web", __name__)
"""Serves ``/`` and ``/static/…``; the app must not do the latter itself (``static_folder=None``)."""

_assets: Final = load_assets()


@web.get("/")
async def page() -> Response:
    """Answer the page."""
    return await _answer(_assets[PAGE])


@web.get("/static/<path:name>")
async def static_file(name: str) -> Response:
    """Answer one of the page's files; 404 for any other name."""
    asset = _assets.get(name)
    if asset is None or name == PAGE:  # the page's relative addresses hold at / only
        abort(404)
    return await _answer(asset)


async def _answer(asset: Asset) -> Response:
    """The asset, or 304 when the client has it already (RFC 9110 section 13.1.2)."""
    response = Response(asset.content, content_type=asset.content_type, headers=HEADERS)
    response.set_etag(asset.etag)
    return await response.make_conditional(request)
