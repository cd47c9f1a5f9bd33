"""URL prefixes: the path below which clients see the server."""

import re
from typing import Final

_CHARS_MAX: Final = 256  # enough for every deployment, and short beside the URLs that it is put before
# Segments of RFC 3986 section 3.3, without percent-encoding, so that the prefix is the same decoded, and
# without the comma, which joins the values of several proxies.
_PREFIX: Final = re.compile(r"(?:/[A-Za-z0-9._~!$&()*+;=:@-]+)+")
_DOTS: Final = {".", ".."}


def parse_prefix(text: str) -> str | None:
    """Check a URL prefix such as ``/realtime``, and remove a slash at its end.

    Returns:
        The prefix, empty for ``/``; None unless the text begins with one ``/`` and contains only non-empty
        segments, none of them ``.`` or ``..``, of characters that need no percent-encoding.
    """
    if text == "/":
        return ""
    if len(text) > _CHARS_MAX:
        return None
    text = text.removesuffix("/")
    if _PREFIX.fullmatch(text) is None or not _DOTS.isdisjoint(text.split("/")):
        return None
    return text
