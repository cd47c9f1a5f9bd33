"""The rules of HTTP/2 for the fields of a request (RFC 9113 sections 8.2 and 8.3), in one pass.

They are those of the ``h2`` library, which reads each byte in Python: there, a short head of five fields
takes 3,000 bytecode instructions.
"""

import re
from collections.abc import Iterable
from typing import Final

from h2.exceptions import ProtocolError
from hpack import NeverIndexedHeaderTuple

_NAME: Final = re.compile(rb"[!-9;-@\[-~]+")  # visible ASCII without upper case and colon
_VALUE: Final = re.compile(
    rb"(?:[^\0\r\n\t ](?:[^\0\r\n]*[^\0\r\n\t ])?)?"
)  # no NUL, CR, LF; no space around
_PSEUDO: Final = frozenset({b":method", b":scheme", b":authority", b":path", b":protocol"})
_REJECTED: Final = frozenset(  # they belong to a connection of HTTP/1.1
    {b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"}
)


def combine_cookies(fields: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return the fields with the parts of a cookie as one field, the last one (section 8.2.3)."""
    cookies = [value for name, value in fields if name == b"cookie"]
    if not cookies:
        return fields
    others = [field for field in fields if field[0] != b"cookie"]
    return [*others, NeverIndexedHeaderTuple(b"cookie", b"; ".join(cookies))]


def check_fields(fields: Iterable[tuple[bytes, bytes]], *, is_trailer: bool) -> None:
    """Check the fields of a head, or of trailers.

    Raises:
        ProtocolError: one of them is malformed or out of place, or one is missing.
    """
    pseudo: dict[bytes, bytes] = {}
    host = None
    is_behind = False  # of the pseudo-headers
    for name, value in fields:
        if not _VALUE.fullmatch(value):
            raise ProtocolError(f"The value of the field {name!r} is malformed")
        if _NAME.fullmatch(name):
            is_behind = True
            if name in _REJECTED or (name == b"te" and value.lower() != b"trailers"):
                raise ProtocolError(f"The field {name!r} must not be sent on HTTP/2")
            if name == b"host" and not is_trailer:
                if host is not None:
                    raise ProtocolError("The field 'host' is there twice")
                host = value
        elif name not in _PSEUDO or name in pseudo or is_behind or is_trailer:
            raise ProtocolError(f"The field {name!r} is malformed or out of place")
        else:
            pseudo[name] = value
    if not is_trailer:
        _check_pseudo_headers(pseudo, host)


def _check_pseudo_headers(pseudo: dict[bytes, bytes], host: bytes | None) -> None:
    """Check the pseudo-headers of a request (section 8.3.1; of WebSocket: RFC 8441 section 4).

    Raises:
        ProtocolError: one is missing, empty, or has no meaning for the method.
    """
    is_connect = pseudo.get(b":method") == b"CONNECT"
    is_extended = b":protocol" in pseudo
    if is_connect and not is_extended:
        is_complete = b":scheme" not in pseudo and b":path" not in pseudo
    else:
        is_complete = b":scheme" in pseudo and bool(pseudo.get(b":path")) and is_connect == is_extended
    if b":method" not in pseudo or not is_complete:
        raise ProtocolError("The pseudo-headers do not fit the method")
    authority = pseudo.get(b":authority", host)
    if authority is None or (host is not None and host != authority):
        raise ProtocolError("':authority' and 'host' are missing, or differ")
