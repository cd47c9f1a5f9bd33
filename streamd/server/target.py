"""The target of a request: the same characters on every version of HTTP.

A percent-encoded byte is any byte here: whether a path or a query is text is for the application to decide.
"""

import re
from typing import Final

_VALID: Final = re.compile(rb"/[!-\"$-~]*")  # printable ASCII without a fragment


def check_target(target: bytes) -> None:
    """Check the characters of a target in origin-form (RFC 9112 section 3.2.1).

    Raises:
        ValueError: it is malformed; the message is a sentence for the client.
    """
    if _VALID.fullmatch(target):
        return
    if not target.startswith(b"/"):
        raise ValueError("the target of the request must be a path that begins with a slash")
    raise ValueError(
        "the target of the request must be percent-encoded ASCII, without spaces and without a fragment"
    )
