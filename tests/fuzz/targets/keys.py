"""JWK sets of issuers, key files and secrets, and callers that are stored with tickets."""

import json
from collections.abc import Callable
from typing import Any, Final

from joserfc.jwk import ECKey, OKPKey, RSAKey

from streamd.auth.caller import EVERYBODY, NOBODY, Caller
from streamd.auth.generate import public_jwk
from streamd.auth.grants import Grant, TaskScope
from streamd.auth.key_formats import MAX_KEYS, read_jwk_set, read_key_file, read_secret
from streamd.auth.settings import ALGORITHMS
from streamd.auth.stored_caller import decode_caller, encode_caller
from streamd.auth.token_key import KeyRefused
from streamd.events import Pattern, Selectors
from tests.fuzz.target import Target
from tests.support.tokens import SECRET, jwk_of

_KINDS: Final[dict[str, Callable[[Any], RSAKey | ECKey | OKPKey]]] = {
    "RS256": RSAKey.import_key,
    "ES256": ECKey.import_key,
    "EdDSA": OKPKey.import_key,
}
_JWKS: Final = [jwk_of(algorithm) for algorithm in (*_KINDS, "HS256")]
_SET: Final = json.dumps({"keys": [public_jwk(jwk_of(each)) for each in _KINDS]}).encode()
_PEM: Final = tuple(
    kind(jwk_of(algorithm)).as_pem(private=private)
    for algorithm, kind in _KINDS.items()
    for private in (True, False)
)
_WORDS: Final = (
    *(f'"{word}"'.encode() for word in ("kty", "use", "key_ops", "alg", "kid", "keys", "k", "crv", "x", "y")),
    *(
        f'"{word}"'.encode()
        for word in ("n", "e", "d", "p", "q", "dp", "dq", "qi", "oct", "OKP", "EC", "RSA")
    ),
    *(f'"{word}"'.encode() for word in ("Ed25519", "Ed448", "P-256", "X25519", "sig", "verify", *ALGORITHMS)),
    b"-----BEGIN PUBLIC KEY-----",
    b"-----END PUBLIC KEY-----",
    b"-----BEGIN EC PARAMETERS-----",
)
_CALLERS: Final = (
    NOBODY,
    EVERYBODY,
    Caller(
        user="ada",
        merchant="m1",
        grant=Grant(Selectors(["a", "*"], [Pattern("b/*")]), Selectors(), TaskScope.OWN, admin=True),
        key="0123",
        token_id="t1",
        issued_at=1.5,
        expires_at=2e9,
    ),
)


def _take_jwk_set(data: bytes) -> None:
    try:
        keys, left_out = read_jwk_set(data)
    except KeyRefused:
        return
    assert len(keys) + len(left_out) <= MAX_KEYS
    for key in keys:
        assert not key.can_sign, "a published secret counts"
        assert key.algorithm in _KINDS
        assert not key.verify(b"signed", b"no signature")


def _take_key_file(data: bytes) -> None:
    try:
        keys = read_key_file(data.decode(errors="replace"))
    except KeyRefused:
        return
    for key in keys:
        assert key.algorithm in ALGORITHMS
        if key.can_sign:
            assert key.verify(b"signed", key.sign(b"signed"))


def _take_secret(data: bytes) -> None:
    try:
        key = read_secret(data.decode(errors="replace"))
    except KeyRefused:
        return
    assert key.verify(b"signed", key.sign(b"signed"))


def _take_stored_caller(data: bytes) -> None:
    try:
        caller = decode_caller(data)
    except ValueError:
        return
    assert decode_caller(encode_caller(caller)) == caller


TARGETS: Final = {
    "jwk_set": Target(_take_jwk_set, (_SET, json.dumps({"keys": _JWKS}).encode()), _WORDS, max_bytes=4096),
    "file": Target(
        _take_key_file,
        (_SET, *(json.dumps(each).encode() for each in _JWKS), *_PEM, b"".join(_PEM[1::2])),
        _WORDS,
        max_bytes=4096,
    ),
    "secret": Target(_take_secret, (SECRET.encode(),), (b"HS384:", b"HS512:", b"ssh-", b"-----BEGIN "), 256),
    "stored_caller": Target(
        _take_stored_caller,
        tuple(encode_caller(each) for each in _CALLERS),
        (
            *(
                f'"{name}":'.encode()
                for name in ("publish", "subscribe", "topics", "patterns", "admin", "tasks")
            ),
            b'"**"',
            b"1e400",
            b"null",
        ),
    ),
}
