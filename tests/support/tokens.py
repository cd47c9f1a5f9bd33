"""Keys and tokens of tests: right ones, and forged ones that a signing library would not make."""

import json
from functools import cache
from typing import Any, Final

from streamd.auth.base64url import encode_base64url
from streamd.auth.compact import sign_token
from streamd.auth.generate import generate_jwk
from streamd.auth.key_formats import read_jwk, read_secret
from streamd.auth.settings import AuthSettings
from streamd.auth.token_key import TokenKey

NOW: Final = 1_800_000_000.0
"""The time of the tests' clock (s since 1970)."""
SECRET: Final = "HS256:" + encode_base64url(b"a secret of the tests, 32 bytes.")
OTHER_SECRET: Final = "HS256:" + encode_base64url(b"another secret of the tests here")
CLAIMS: Final[dict[str, Any]] = {"sub": "ada", "exp": NOW + 3600}


def auth_settings(**values: Any) -> AuthSettings:
    """Make settings with one secret, unless they name other keys."""
    return AuthSettings(**{"keys": [SECRET], **values})


@cache
def _make_key(algorithm: str, number: int) -> tuple[dict[str, Any], TokenKey]:
    jwk = generate_jwk(algorithm)
    return jwk, read_jwk(jwk)


def jwk_of(algorithm: str, number: int = 0) -> dict[str, Any]:
    """Return a JWK with its secret part, the same for a number."""
    return _make_key(algorithm, number)[0]


def key_of(algorithm: str, number: int = 0) -> TokenKey:
    """Return the key of :func:`jwk_of`."""
    return _make_key(algorithm, number)[1]


def make_token(claims: dict[str, Any] | None = None, key: TokenKey | str = SECRET, **more: Any) -> str:
    """Return a signed token.

    Args:
        claims: all of them; by default valid ones.
        key: signs it; a text is a line of ``auth.keys``.
        more: further claims.
    """
    signer = read_secret(key) if isinstance(key, str) else key
    return sign_token(signer, {**(CLAIMS if claims is None else claims), **more})


def forge(
    header: dict[str, Any] | bytes | str,
    payload: dict[str, Any] | bytes = b"",
    key: TokenKey | None = None,
    signature: bytes = b"",
) -> str:
    """Return a token of any header and payload.

    Args:
        header: an object, its JSON, or the encoded text.
        payload: an object or its JSON; valid claims by default.
        key: signs it; without one ``signature`` is taken as it is.
    """
    encoded = header if isinstance(header, str) else encode_base64url(_json(header))
    signed = f"{encoded}.{encode_base64url(_json(payload or CLAIMS))}"
    return f"{signed}.{encode_base64url(key.sign(signed.encode()) if key else signature)}"


def _json(value: dict[str, Any] | bytes) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value).encode()
