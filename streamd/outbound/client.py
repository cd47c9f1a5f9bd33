"""The clients of requests: one store of trusted authorities, no timeouts, nothing shared between them."""

import ssl
from functools import cache

import httpx


@cache
def system_trust() -> ssl.SSLContext:
    """Return the TLS context that trusts the system's certificate authorities, or those of SSL_CERT_FILE.

    The first call takes tens of milliseconds: make it at the start, not with the first request.
    """
    return ssl.create_default_context()


def open_client(*, keep_alive: bool = True, trust_env: bool = True) -> httpx.AsyncClient:
    """Make a client for :func:`.fetch.fetch`, which bounds its requests. The caller closes it.

    Args:
        keep_alive: reuse connections for further requests to the same address.
        trust_env: follow the environment, such as its proxies.
    """
    limits = httpx.Limits(max_keepalive_connections=None if keep_alive else 0)
    return httpx.AsyncClient(verify=system_trust(), timeout=None, limits=limits, trust_env=trust_env)  # noqa: S113
