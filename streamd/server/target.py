"""The target of a request: its path and query, on every version of HTTP the same.

Text in a target is percent-encoded UTF-8 (RFC 3986 section 2.5). Anything else is rejected, because each
reader would replace it by something of its own.
"""

import re
from typing import Final
from urllib.parse import unquote_to_bytes

import attrs

_PLAIN: Final = re.compile(rb"/[!-\"$&-~]*")  # without percent-encoding
_VALID: Final = re.compile(rb"/[!-\"$-~]*")  # printable ASCII without a fragment


@attrs.frozen
class RequestTarget:
    """A target in origin form (RFC 9112 section 3.2.1), as ASGI scopes have it.

    Attributes:
        path: decoded.
        raw_path: as received.
        query_string: as received, without the question mark.
    """

    path: str
    raw_path: bytes
    query_string: bytes


def parse_target(target: bytes) -> RequestTarget:
    """Parse a target in origin form.

    Raises:
        ValueError: it is malformed, or no UTF-8; the message is a sentence for the client.
    """
    raw_path, _, query_string = target.partition(b"?")
    if _PLAIN.fullmatch(target):
        return RequestTarget(raw_path.decode(), raw_path, query_string)
    if not target.startswith(b"/"):
        raise ValueError("the target of the request must be a path that begins with a slash")
    if not _VALID.fullmatch(target):
        raise ValueError(
            "the target of the request must be percent-encoded ASCII, without spaces and without a fragment"
        )
    try:
        path = unquote_to_bytes(raw_path).decode()
        unquote_to_bytes(query_string).decode()
    except UnicodeDecodeError:
        raise ValueError("percent-encoded text in the target of the request must be UTF-8") from None
    return RequestTarget(path, raw_path, query_string)
