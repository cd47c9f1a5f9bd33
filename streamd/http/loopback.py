"""Access to operations on the connections of other clients, until there is access control.

They are for programs and operators on the server's own machine. A request is admitted if all of this holds:

===========================  ================================================================================
condition                    keeps out
===========================  ================================================================================
``connections.control``      everybody, by default
client on the loopback,      other machines
or a Unix socket of streamd
proxies on the loopback      programs beside a trusted proxy on another machine
no forwarding header, or     other machines behind a proxy on this one that adds such a header, and is not in
its sender is trusted        ``server.trusted_proxies``
``Host`` is the loopback     pages that reach this machine by a name of their own (DNS rebinding), and proxies
                             that keep the client's ``Host``
own ``Origin``, or none      pages of all other origins, also of those in ``server.cors_origins``
===========================  ================================================================================

Behind trusted proxies the client is the one that they name, see :mod:`streamd.proxies`.

A proxy on this machine that adds no forwarding header and replaces ``Host`` by its own target, as nginx does
by default, looks like a program on this machine: its clients are admitted. Such a proxy must add a forwarding
header or refuse these paths, or the setting must stay off. :func:`warn_of_control` logs that.
"""

from collections.abc import Mapping
from typing import Any, Final

import structlog
from quart.wrappers import Request

from ..characters import quoted
from ..errors import ControlDisabled, Forbidden
from ..proxies import FORWARDING, Forwarding
from ..transports.asgi import find_transport
from .hosts import is_loopback, split_host
from .origins import FETCH_SITE, OWN_SITES, is_own_origin

_log = structlog.get_logger(__name__)

SETTING: Final = "connections.control"
_FORWARDING_HEADERS: Final = (
    "Forwarded",  # RFC 7239
    "Via",  # RFC 9110 section 7.6.3
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Real-IP",
)


def check_control(request: Request, *, enabled: bool) -> None:
    """Check that a request may operate on connections.

    Args:
        request: the request.
        enabled: the setting.

    Raises:
        ControlDisabled: the setting is off.
        Forbidden: the request comes from another machine, a page of another origin, or a proxy that shows.
    """
    if not enabled:
        raise ControlDisabled(f"operations on connections are switched off: set {SETTING} = true")
    scope: Mapping[str, Any] = request.scope
    if not is_loopback(request.remote_addr or "") and not _is_on_unix_socket(scope):
        raise Forbidden("operations on connections are for callers on the loopback interface only")
    forwarding: Forwarding = scope.get(FORWARDING, Forwarding())
    for proxy in forwarding.proxies:
        if proxy and not is_loopback(proxy):  # empty: a Unix socket
            raise Forbidden("operations on connections must not come through a proxy on another machine")
    for name in _FORWARDING_HEADERS:
        if name in request.headers and not forwarding.is_named:
            raise Forbidden(f"operations on connections must not come through a proxy ({name})", field=name)
    host = request.headers.get("Host", "")
    if not is_loopback(split_host(host)[0]):
        raise Forbidden(
            "operations on connections need the Host of a loopback address, such as 127.0.0.1; "
            f"got {quoted(host)}",
            field="Host",
        )
    if request.headers.get(FETCH_SITE, "none") not in OWN_SITES:
        raise Forbidden("pages of other origins may not operate on connections", field=FETCH_SITE)
    origin = request.headers.get("Origin")
    if origin is not None and not is_own_origin(origin, host, secure=request.scheme == "https"):
        raise Forbidden(f"pages of {quoted(origin)} may not operate on connections", field="Origin")


def warn_of_control() -> None:
    """Log that operations on connections are switched on, and what a proxy on this machine must do."""
    _log.warning(
        "connections_control_enabled",
        setting=SETTING,
        advice="a proxy on this machine must set X-Forwarded-For; otherwise its clients are admitted",
    )


def _is_on_unix_socket(scope: Mapping[str, Any]) -> bool:
    """Return True for a client on a Unix socket of streamd's own server; others may leave out any address."""
    return not scope.get("client") and find_transport(scope) is not None
