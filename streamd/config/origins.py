"""Origins of web pages and names of servers, as ``server.cors_origins`` and ``server.hosts`` take them."""

from typing import Final
from urllib.parse import urlsplit

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def serialize_origin(text: str) -> str | None:
    """Return the origin in ``text`` as browsers send it (RFC 6454 section 6.2); None if there is none."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    host = parts.hostname
    if parts.scheme not in _DEFAULT_PORTS or not host or not host.isascii() or "@" in parts.netloc:
        return None
    if any(char.isspace() or char in '*,"' for char in text):
        return None
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}" + ("" if port in (None, _DEFAULT_PORTS[parts.scheme]) else f":{port}")


def is_host(text: str) -> bool:
    """Return True for a name or an address, with or without a port, as in a ``Host`` header."""
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        return False
    if not host or not text.isascii() or any(char.isspace() or char in '*,"@' for char in text):
        return False
    shown = f"[{host}]" if ":" in host else host
    return text.lower() == (shown if port is None else f"{shown}:{port}")
