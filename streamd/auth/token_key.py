"""One key, for one signature algorithm.

A key belongs to exactly one algorithm (RFC 8725 section 3.1), so that a token cannot choose another one for
it: the public key of RS256 never becomes the secret of HS256.

=========  =============================  =====================================
algorithm  key                            strength
=========  =============================  =====================================
HS256      secret                         at least 32 bytes
HS384      secret                         at least 48 bytes
HS512      secret                         at least 64 bytes
RS256      RSA                            2048 to 8192 bits
ES256      elliptic curve P-256
EdDSA      Ed25519 or Ed448
=========  =============================  =====================================
"""

import hashlib
from typing import Final

import attrs
from joserfc.jwk import Key
from joserfc.jws import JWSRegistry

from .settings import SHARED_SECRET_ALGORITHMS

MIN_SECRET_BYTES: Final = {"HS256": 32, "HS384": 48, "HS512": 64}
"""Minimum length of a secret: that of its hash (RFC 7518 section 3.2)."""
MIN_RSA_BITS: Final = 2048  # RFC 7518 section 3.3
MAX_RSA_BITS: Final = 8192  # a larger key makes every forged token expensive to refuse


class KeyRefused(ValueError):
    """The key cannot be used; the message completes "PATH: " and has no part of the key."""


class ForeignKey(KeyRefused):
    """The key is well-formed, and for another purpose: an unknown type or algorithm, or encryption."""


@attrs.frozen
class TokenKey:
    """A key that verifies tokens, and signs them if it has its secret part.

    Args:
        algorithm: the only one that it is used with.
        key_id: ``kid`` of the tokens that it signs; empty if it has none.
        fingerprint: of the key (RFC 7638), by which keys are equal.
        can_sign: it has its secret part.
    """

    algorithm: str
    key_id: str
    fingerprint: str = attrs.field(repr=False)  # one of a secret is better kept as well
    can_sign: bool
    _key: Key = attrs.field(repr=False, eq=False)

    @classmethod
    def create(cls, key: Key, algorithm: str, key_id: str = "") -> "TokenKey":
        """Bind a key of joserfc to its algorithm.

        Raises:
            KeyRefused: it is too weak or too large.
        """
        if algorithm in SHARED_SECRET_ALGORITHMS:
            check_secret_length(len(key.raw_value), algorithm)  # type: ignore[arg-type] # it is bytes
        elif algorithm == "RS256":
            check_rsa_bits(key.raw_value.key_size)  # type: ignore[union-attr] # it is an RSA key
        return cls(algorithm, key_id, key.thumbprint(), key.is_private, key)

    @property
    def name(self) -> str:
        """A short name of the key, the same on every node, from which nobody learns the key."""
        return hashlib.sha256(b"key " + self.fingerprint.encode()).hexdigest()[:16]

    def verify(self, signed: bytes, signature: bytes) -> bool:
        """Return True if the signature is this key's."""
        # Not by `JWSRegistry.get_alg`, which warns of EdDSA with every token: RFC 9864 gave it a second name.
        return JWSRegistry.algorithms[self.algorithm].verify(signed, signature, self._key)

    def sign(self, signed: bytes) -> bytes:
        """Return the signature of some bytes."""
        assert self.can_sign
        return JWSRegistry.algorithms[self.algorithm].sign(signed, self._key)


def check_secret_length(length: int, algorithm: str) -> None:
    """Check the length of a secret (bytes).

    Raises:
        KeyRefused: it is shorter than the hash of its algorithm.
    """
    needed = MIN_SECRET_BYTES[algorithm]
    if length < needed:
        raise KeyRefused(
            f"the secret has {length} bytes, and {algorithm} needs at least {needed} (RFC 7518 section 3.2)"
        )


def check_rsa_bits(bits: int) -> None:
    """Check the size of an RSA key (bits).

    Raises:
        KeyRefused: it is too small or too large.
    """
    if not MIN_RSA_BITS <= bits <= MAX_RSA_BITS:
        raise KeyRefused(f"the RSA key has {bits} bits, and must have {MIN_RSA_BITS} to {MAX_RSA_BITS}")
