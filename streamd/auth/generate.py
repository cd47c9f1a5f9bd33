"""New keys, for ``streamd keys`` and tests."""

import secrets
from typing import Any, Final

from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey

from .base64url import encode_base64url
from .settings import SHARED_SECRET_ALGORITHMS
from .token_key import MIN_SECRET_BYTES

_RSA_BITS: Final = 3072  # 128 bits of security, as ES256 and Ed25519 have (NIST SP 800-57 part 1)


def generate_secret(algorithm: str) -> str:
    """Return a new secret as a line of ``auth.keys``, such as ``HS256:…``."""
    return f"{algorithm}:{encode_base64url(secrets.token_bytes(MIN_SECRET_BYTES[algorithm]))}"


def generate_jwk(algorithm: str) -> dict[str, Any]:
    """Return a new key as a JWK with its secret part. Its ``kid`` is its fingerprint (RFC 7638)."""
    key: Key
    if algorithm in SHARED_SECRET_ALGORITHMS:
        key = OctKey.generate_key(8 * MIN_SECRET_BYTES[algorithm])
        # The fingerprint of a secret would be a hash of it in every token.
        return {"kty": "oct", "alg": algorithm, "use": "sig", "kid": secrets.token_hex(8), "k": key["k"]}
    if algorithm == "RS256":
        key = RSAKey.generate_key(_RSA_BITS)
    elif algorithm == "ES256":
        key = ECKey.generate_key("P-256")
    else:
        key = OKPKey.generate_key("Ed25519")
    marks = {"kty": key.key_type, "alg": algorithm, "use": "sig", "kid": key.thumbprint()}
    return marks | key.as_dict(private=True)


def public_jwk(jwk: dict[str, Any]) -> dict[str, Any]:
    """Return a JWK without its secret part."""
    public = {"kty", "alg", "use", "kid", "crv", "x", "y", "n", "e"}
    return {name: value for name, value in jwk.items() if name in public}
