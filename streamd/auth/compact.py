"""Signed tokens as text: the compact serialization of JWS (RFC 7515 section 3.1), without any I/O.

A token is three parts of base64url: header, claims and signature. Everything that the header may ask for
beyond a plain signature is refused: encryption, nested tokens, critical extensions, other types of tokens.
The members that offer a key (``jwk``, ``jku``, ``x5c``, ``x5u``) are never read, because a forger fills them.
"""

import re
from collections.abc import Collection, Mapping
from typing import Any, Final

import attrs

from ..errors import InvalidBody, InvalidToken
from ..json import check_json, encode_json
from .base64url import decode_base64url, encode_base64url
from .key_formats import MAX_KEY_ID_CHARS
from .token_key import TokenKey

MAX_TOKEN_BYTES: Final = 8192
"""Maximum length of a token: as much as servers accept in one header field."""

_TYPES: Final = frozenset({"jwt", "at+jwt"})  # RFC 7519 section 5.1, RFC 9068 section 2.1
_DETAIL_CHARS: Final = 200
_NOT_DESCRIPTION: Final = re.compile(r"[^\x20\x21\x23-\x5b\x5d-\x7e]")
"""Characters that the description of an error must not have (RFC 6750 section 3)."""


@attrs.frozen
class CompactToken:
    """A token whose signature is not verified yet.

    Args:
        algorithm: of its signature.
        key_id: of its key; empty if it names none.
        signed: the bytes that were signed.
        signature: of them.
    """

    algorithm: str
    key_id: str
    signed: bytes = attrs.field(repr=False)
    signature: bytes = attrs.field(repr=False)
    _payload: str = attrs.field(repr=False)

    def claims(self) -> Mapping[str, Any]:
        """Decode the claims.

        Raises:
            InvalidToken: they are no JSON object, or not within the profile of :mod:`streamd.json`.
        """
        return _decode_object(self._payload, "claims")


def parse_token(text: str, algorithms: Collection[str]) -> CompactToken:
    """Parse a token as far as its signature can be verified. The claims are not decoded.

    Args:
        text: the token.
        algorithms: those that are accepted.

    Raises:
        InvalidToken: it is malformed, or its header asks for something that is not accepted.
    """
    if len(text) > MAX_TOKEN_BYTES:
        raise InvalidToken(f"the token is longer than {MAX_TOKEN_BYTES} bytes")
    if not text.isascii():
        raise InvalidToken("the token has characters that are not base64url")
    parts = text.split(".")
    if len(parts) == 5:
        raise InvalidToken("the token is encrypted (JWE); only signed tokens (JWS) are accepted")
    if len(parts) != 3:
        raise InvalidToken(
            "the token must have three parts with dots between them: header, claims, signature"
        )
    encoded, payload, signature = parts
    header = _decode_object(encoded, "header")
    _check_header(header)
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in algorithms:
        raise InvalidToken(
            "the algorithm (alg) of the token is not accepted; accepted: " + ", ".join(algorithms)
        )
    key_id = header.get("kid", "")
    if not isinstance(key_id, str) or len(key_id) > MAX_KEY_ID_CHARS:
        raise InvalidToken(f"the key id (kid) must be text of at most {MAX_KEY_ID_CHARS} characters")
    signed = f"{encoded}.{payload}".encode()
    return CompactToken(algorithm, key_id, signed, _decode_part(signature, "signature"), payload)


def peek_token(text: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return the header and the claims of a token as they are, for people to read: nothing is verified.

    Raises:
        InvalidToken: they cannot be decoded.
    """
    parts = text.split(".")
    if len(text) > MAX_TOKEN_BYTES or len(parts) != 3:
        raise InvalidToken(f"a token has three parts with dots between, and at most {MAX_TOKEN_BYTES} bytes")
    return _decode_object(parts[0], "header"), _decode_object(parts[1], "claims")


def _check_header(header: Mapping[str, Any]) -> None:
    """Refuse a header that asks for more than a plain signature.

    Raises:
        InvalidToken: it does.
    """
    if "crit" in header or "b64" in header:
        raise InvalidToken("the token has a critical extension (crit), and none is supported")
    if "enc" in header:
        raise InvalidToken("the token is encrypted (JWE); only signed tokens (JWS) are accepted")
    if "cty" in header:
        raise InvalidToken("the token holds another token (cty); nested tokens are not supported")
    typ = header.get("typ", "JWT")
    if not isinstance(typ, str) or typ.lower().removeprefix("application/") not in _TYPES:
        raise InvalidToken("the token is of another type (typ); accepted: JWT and at+jwt")


def _decode_part(text: str, noun: str) -> bytes:
    try:
        return decode_base64url(text)
    except ValueError:
        raise InvalidToken(f"the {noun} of the token is not base64url") from None


def _decode_object(text: str, noun: str) -> Mapping[str, Any]:
    subject = f"the {noun} of the token"
    data = _decode_part(text, noun)
    try:
        value = check_json(data, noun=subject)
    except InvalidBody as error:
        detail = _NOT_DESCRIPTION.sub("?", error.detail[:_DETAIL_CHARS].replace('"', "'"))
        raise InvalidToken(detail if detail.startswith(subject) else f"{subject}: {detail}") from None
    if not isinstance(value, dict):
        raise InvalidToken(f"{subject} must be a JSON object")
    return value


def sign_token(key: TokenKey, claims: Mapping[str, Any]) -> str:
    """Return a token with these claims.

    Args:
        key: signs it.
        claims: JSON values by name.
    """
    header = {"alg": key.algorithm, "typ": "JWT"} | ({"kid": key.key_id} if key.key_id else {})
    parts = [encode_base64url(encode_json(part, "token")) for part in (header, dict(claims))]
    signed = ".".join(parts)
    return f"{signed}.{encode_base64url(key.sign(signed.encode()))}"
