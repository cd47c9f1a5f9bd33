"""URLs of other servers and keys for them, as an operator configures them."""

import re
from typing import Final

import httpx

_TOKEN: Final = re.compile(r"[!-~]*")  # visible ASCII: it is part of a header
_PORT_MAX: Final = 65_535


def is_http_url(text: str) -> bool:
    """Return True for an http or https URL with a host and, if it has one, a port from 1 to 65535."""
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        return False
    return url.scheme in ("http", "https") and bool(url.host) and 0 < (url.port or 80) <= _PORT_MAX


def is_token(text: str) -> bool:
    """Return True for a key that fits into an ``Authorization`` header, or an empty one."""
    return _TOKEN.fullmatch(text) is not None


def has_password(text: str) -> bool:
    """Return True for an http or https URL with a user name or a password, which logs would show."""
    return is_http_url(text) and bool(httpx.URL(text).userinfo)
