"""Base64 with the alphabet of URLs and without padding (RFC 7515 section 2)."""

import base64
import binascii


def encode_base64url(data: bytes) -> str:
    """Return bytes as base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def decode_base64url(text: str) -> bytes:
    """Return the bytes of a base64url text without padding.

    There is exactly one text for some bytes: unused bits at the end must be zero, so that a token cannot be
    altered without changing what was signed.

    Raises:
        ValueError: it is none.
    """
    try:
        data = base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    except (UnicodeEncodeError, binascii.Error) as error:
        raise ValueError("not base64url") from error
    if encode_base64url(data) != text:
        raise ValueError("not base64url")
    return data
