"""Checks of HTTP/2 requests, and of the handshake of WebSockets on it (RFC 8441)."""

import re
from typing import Final

from h2.events import RequestReceived
from wsproto.handshake import WEBSOCKET_VERSION

from ..refusals import RequestRefused, malformed
from ..target import check_target
from .http2_heads import RefusedHead
from .streams import EXTENSIONS

_METHOD: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Z-]+")  # a token (RFC 9110 section 9.1)
_VERSION: Final = b"sec-websocket-version"
_PSEUDO_MAX: Final = 5  # :method, :scheme, :authority, :path and :protocol, before all other fields


def pseudo_headers(request: RequestReceived) -> dict[bytes, bytes]:
    """Return the pseudo-headers of a request; other fields may be among them."""
    return dict(request.headers[:_PSEUDO_MAX])


def find_refusal(request: RequestReceived) -> RefusedHead | None:
    """Return why a request is refused; one that is not loses the fields that Hypercorn must not see."""
    pseudo = pseudo_headers(request)
    try:
        _check_request(pseudo)
        if pseudo[b":method"] == b"CONNECT":
            _check_version(request)
    except RequestRefused as error:
        return RefusedHead(error, pseudo[b":method"] == b"HEAD")
    if EXTENSIONS in [name for name, _ in request.headers]:
        request.headers = [header for header in request.headers if header[0] != EXTENSIONS]
    return None


def _check_request(pseudo: dict[bytes, bytes]) -> None:
    """Check the method and the target of a request.

    Raises:
        RequestRefused: one of them is malformed, or the method is the CONNECT of a proxy, without a path.
    """
    method = pseudo[b":method"]
    if not _METHOD.fullmatch(method):
        raise malformed("the method of the request must be a token in upper case, such as GET")
    if method == b"CONNECT" and pseudo.get(b":protocol") != b"websocket":
        detail = "CONNECT opens WebSockets only, with :protocol websocket (RFC 8441)"
        raise RequestRefused(501, "unsupported-method", detail)
    if pseudo[b":path"] != b"*" or method != b"OPTIONS":
        try:
            check_target(pseudo[b":path"])
        except ValueError as error:
            raise malformed(str(error)) from None


def _check_version(request: RequestReceived) -> None:
    """Check the version of a WebSocket (RFC 6455 section 4.2.2).

    Raises:
        RequestRefused: it is another one. With 400: 426 needs an Upgrade field, which HTTP/2 does not have.
    """
    if (_VERSION, WEBSOCKET_VERSION) not in [(name, value) for name, value in request.headers]:
        detail = "Sec-WebSocket-Version must be 13"
        raise RequestRefused(400, "upgrade-required", detail, [(_VERSION, WEBSOCKET_VERSION)])
