"""Bearer tokens, as their text, by their parts, and with any claims."""

import json
import re
from typing import Final

from streamd.auth.base64url import encode_base64url
from streamd.auth.compact import parse_token
from streamd.auth.generate import public_jwk
from streamd.auth.key_formats import read_jwk, read_secret
from streamd.auth.keys import KeyRing
from streamd.auth.settings import ALGORITHMS
from streamd.auth.tokens import TokenVerifier
from streamd.errors import InvalidToken
from tests.fuzz.target import Target, check_refusal, finish
from tests.support.tokens import CLAIMS, NOW, SECRET, auth_settings, jwk_of, key_of, make_token

_SECRET_KEY: Final = read_secret(SECRET)
_PUBLIC: Final = ("RS256", "ES256", "EdDSA")
_VERIFIER: Final = TokenVerifier(
    auth_settings(),
    KeyRing((_SECRET_KEY, *(read_jwk(public_jwk(jwk_of(each))) for each in _PUBLIC))),
    clock=lambda: NOW,
)
_RICH_CLAIMS: Final = {
    **CLAIMS,
    "nbf": NOW - 1,
    "iat": NOW - 2.5,
    "jti": "t1",
    "iss": "https://issuer.example",
    "aud": ["a", "b"],
    "merchant": "https://shop.example/admin",
    "publish": ["orders/*", "a"],
    "subscribe": "**",
    "tasks": "own",
    "admin": False,
}
_VALID: Final = frozenset(
    [make_token(), make_token(_RICH_CLAIMS), *(make_token(key=key_of(each)) for each in _PUBLIC)]
)
_DESCRIPTION: Final = re.compile(r"[\x20\x21\x23-\x5b\x5d-\x7e]+")  # RFC 6750 section 3
_WORDS: Final = (
    *(f'"{word}"'.encode() for word in ("alg", "kid", "typ", "crit", "enc", "none", "jwk", *ALGORITHMS)),
    *(f'"{name}":'.encode() for name in _RICH_CLAIMS),
    b"1e308",
    b"null",
    b"true",
    b"[]",
    b"{}",
)


def _verify(text: str) -> None:
    """Verify a token; only those that were signed may name a caller."""
    try:
        caller = finish(_VERIFIER.verify(text))
    except InvalidToken as error:
        _check_refusal(error, text)
        return
    assert text in _VALID, f"a token that nobody signed is one of {caller.user!r}"


def _check_refusal(error: InvalidToken, text: str) -> None:
    check_refusal(error)
    assert _DESCRIPTION.fullmatch(error.detail), "the detail has characters that RFC 6750 forbids"
    assert all(len(part) < 20 or part not in error.detail for part in text.split("."))


def _take_text(data: bytes) -> None:
    text = data.decode("latin1")
    try:
        token = parse_token(text, ALGORITHMS)
        token.claims()
    except InvalidToken as error:
        _check_refusal(error, text)
    else:
        assert text == f"{token.signed.decode()}.{encode_base64url(token.signature)}"
    _verify(text)


def _take_parts(data: bytes) -> None:
    """Encode header, claims and signature, which zero bytes separate: base64 hides them from mutations."""
    _verify(".".join(encode_base64url(part) for part in data.split(b"\0", 2)))


def _take_claims(data: bytes) -> None:
    """Sign any claims: they are those of a caller, or are refused."""
    signed = b"eyJhbGciOiJIUzI1NiJ9." + encode_base64url(data).encode()
    text = f"{signed.decode()}.{encode_base64url(_SECRET_KEY.sign(signed))}"
    try:
        caller = finish(_VERIFIER.verify(text))
    except InvalidToken as error:
        _check_refusal(error, text)
        return
    claims = json.loads(data)
    user = claims.get("sub")
    assert caller.user == ("" if user is None else str(user))  # a whole number is a name
    assert caller.grant.admin == (claims.get("admin") is True)
    assert caller.expires_at is not None
    assert caller.expires_at >= NOW


TARGETS: Final = {
    "text": Target(_take_text, tuple(each.encode() for each in sorted(_VALID)), max_bytes=2048),
    "parts": Target(
        _take_parts,
        tuple(
            b"%s\0%s\0%s" % (header, json.dumps(_RICH_CLAIMS).encode(), b"s" * 64)
            for header in (b'{"alg":"HS256","typ":"JWT"}', b'{"alg":"none"}', b'{"alg":"ES256","kid":"x"}')
        ),
        _WORDS,
    ),
    "claims": Target(
        _take_claims,
        (json.dumps(_RICH_CLAIMS).encode(), json.dumps({**CLAIMS, "sub": 0}).encode(), b'{"\x7f[":\x9d1'),
        _WORDS,
    ),
}
