"""The formats of keys: secrets of a setting, JWK and JWK sets (RFC 7517), and PEM.

No error quotes a part of a key.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, Key, OctKey, OKPKey, RSAKey

from ..errors import InvalidBody
from ..json import check_json
from .base64url import decode_base64url
from .settings import SHARED_SECRET_ALGORITHMS
from .token_key import ForeignKey, KeyRefused, TokenKey, check_rsa_bits, check_secret_length

MAX_KEYS: Final = 32
"""Maximum number of keys of one source. A token without `kid` is tried with every key of its algorithm."""
MAX_KEY_ID_CHARS: Final = 256

_MAX_MEMBER_CHARS: Final = 4096  # of a JWK; the modulus of an RSA key with 8192 bits has 1366
_PUBLIC_MEMBERS: Final = {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x"), "oct": ()}
_SECRET_MEMBERS: Final = {
    "RSA": ("d", "p", "q", "dp", "dq", "qi"),
    "EC": ("d",),
    "OKP": ("d",),
    "oct": ("k",),
}
_CURVES: Final = {"EC": {"P-256": "ES256"}, "OKP": {"Ed25519": "EdDSA", "Ed448": "EdDSA"}}
_PEM_BLOCK: Final = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)
_PEM_PARAMETERS: Final = "EC PARAMETERS"  # openssl writes them before a key that has them as well
_PEM_PUBLIC: Final = frozenset({"PUBLIC KEY", "RSA PUBLIC KEY"})
_PEM_PRIVATE: Final = frozenset({"PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"})
_DAMAGED: Final = (JoseError, UnsupportedAlgorithm, ValueError, TypeError, KeyError)
_BEGINS_OTHER_KEY: Final = (b"-----BEGIN ", b"ssh-", b"ecdsa-")


def read_secret(line: str) -> TokenKey:
    """Read a secret of the setting ``auth.keys``: ``HS256:`` and base64url, with or without padding.

    Raises:
        KeyRefused: it has another form, or the secret is too short.
    """
    algorithm, colon, encoded = line.strip().partition(":")
    if not colon or algorithm not in SHARED_SECRET_ALGORITHMS:
        names = ":, ".join(SHARED_SECRET_ALGORITHMS)
        raise KeyRefused(f"must begin with one of {names}: and continue with a secret in base64url")
    try:
        secret = decode_base64url(encoded.rstrip("="))
    except ValueError:
        raise KeyRefused(
            "the secret must be base64url, with the characters A-Z a-z 0-9 - _ (RFC 4648 section 5)"
        ) from None
    return _secret_key(secret, algorithm, "")


def _secret_key(secret: bytes, algorithm: str, key_id: str) -> TokenKey:
    check_secret_length(len(secret), algorithm)
    if secret.lstrip().startswith(_BEGINS_OTHER_KEY):
        raise KeyRefused("is a key file, not a secret: name the file in auth.key_file")
    try:
        key = OctKey.import_key(secret)  # refuses public keys, which are no secrets
    except _DAMAGED:
        raise KeyRefused("is a public key, not a secret") from None
    return TokenKey.create(key, algorithm, key_id)


def read_key_file(text: str) -> list[TokenKey]:
    """Read a file: one JWK, a JWK set, or PEM with one key or several.

    Keys of a set for other purposes, such as encryption, are left out.

    Raises:
        KeyRefused: it has another form, or one of its keys is damaged or too weak.
    """
    if "-----BEGIN " in text:
        return _few(_read_pem(text))
    if not text.lstrip().startswith("{"):
        raise KeyRefused("is neither a JWK, nor a JWK set, nor PEM")
    document = _read_json(text)
    if "keys" not in document:
        return [read_jwk(document)]
    found = []
    for index, each in enumerate(_listed_keys(document)):
        try:
            found.append(read_jwk(each))
        except ForeignKey:
            pass  # RFC 7517 section 5
        except KeyRefused as error:
            raise KeyRefused(f"keys[{index}]: {error}") from None
    return found


def read_jwk_set(text: bytes) -> tuple[list[TokenKey], list[str]]:
    """Read the published JWK set of an issuer.

    Only public parts count: a secret that is published is none. Keys that cannot be used are left out.

    Returns:
        The keys, and the reason for each that was left out.

    Raises:
        KeyRefused: it is no JWK set, or has too many keys.
    """
    found, left_out = [], []
    for index, each in enumerate(_listed_keys(_read_json(text))):
        try:
            found.append(read_jwk(each, public=True))
        except KeyRefused as error:
            left_out.append(f"keys[{index}]: {error}")
    return found, left_out


def _read_json(text: str | bytes) -> Mapping[str, Any]:
    try:
        document = check_json(text)
    except InvalidBody:  # whose sentence may quote the text
        raise KeyRefused("is not valid JSON, or has two members of one name") from None
    if not isinstance(document, dict):
        raise KeyRefused("must be a JSON object")
    return document


def _listed_keys(document: Mapping[str, Any]) -> list[Any]:
    keys = document.get("keys")
    if not isinstance(keys, list):
        raise KeyRefused("must have the member keys, a list of JWK (RFC 7517 section 5)")
    return _few(keys)


def _few(keys: Iterable[Any]) -> list[Any]:
    found = list(keys)
    if len(found) > MAX_KEYS:
        raise KeyRefused(f"has {len(found)} keys, and may have at most {MAX_KEYS}")
    return found


def read_jwk(jwk: object, *, public: bool = False) -> TokenKey:
    """Read a JWK.

    Args:
        jwk: its members.
        public: use its public part only; a secret, which has none, is foreign.

    Raises:
        ForeignKey: it is for another purpose.
        KeyRefused: it is damaged, or too weak.
    """
    if not isinstance(jwk, dict):
        raise KeyRefused("must be a JSON object")
    algorithm = _algorithm_of(jwk)
    if public and algorithm in SHARED_SECRET_ALGORITHMS:
        raise ForeignKey("a published secret is none")
    key_id = jwk.get("kid", "")
    if not isinstance(key_id, str) or len(key_id) > MAX_KEY_ID_CHARS:
        raise KeyRefused(f"kid must be text of at most {MAX_KEY_ID_CHARS} characters")
    kty = jwk["kty"]
    names = _PUBLIC_MEMBERS[kty] + (() if public else _SECRET_MEMBERS[kty])
    members = {name: jwk[name] for name in names if name in jwk}
    if not all(isinstance(value, str) and len(value) <= _MAX_MEMBER_CHARS for value in members.values()):
        raise KeyRefused(f"its members must be texts of at most {_MAX_MEMBER_CHARS} characters")
    try:
        if kty == "oct":
            return _secret_key(decode_base64url(members["k"]), algorithm, key_id)
        if kty == "RSA":  # before the import, which warns of a weak key
            check_rsa_bits(int.from_bytes(decode_base64url(members["n"]), "big").bit_length())
        return TokenKey.create(JWKRegistry.import_key({"kty": kty, **members}), algorithm, key_id)
    except KeyRefused:
        raise
    except _DAMAGED:
        raise KeyRefused(f"is no valid {kty} key (RFC 7518 section 6)") from None


def _algorithm_of(jwk: Mapping[str, Any]) -> str:
    """Return the one algorithm that a JWK is used with.

    Raises:
        ForeignKey: there is none.
    """
    kty, named = jwk.get("kty"), jwk.get("alg")
    if not isinstance(kty, str) or kty not in _PUBLIC_MEMBERS:
        raise ForeignKey("kty must be RSA, EC, OKP or oct")
    if kty == "oct":
        algorithm = named if named in SHARED_SECRET_ALGORITHMS else None
        if algorithm is None:
            raise ForeignKey(f"a secret must name its alg: {', '.join(SHARED_SECRET_ALGORITHMS)}")
    elif kty == "RSA":
        algorithm = "RS256"
    else:
        curves = _CURVES[kty]
        curve = jwk.get("crv")
        algorithm = curves.get(curve) if isinstance(curve, str) else None
        if algorithm is None:
            raise ForeignKey(f"crv must be {' or '.join(curves)}")
    if named is not None and named != algorithm:
        raise ForeignKey(f"alg must be {algorithm}, the only one for such a key")
    if jwk.get("use", "sig") != "sig":
        raise ForeignKey("use must be sig")
    operations = jwk.get("key_ops", ["verify"])
    if not isinstance(operations, list) or not ("verify" in operations or "sign" in operations):
        raise ForeignKey("key_ops must contain verify")
    return str(algorithm)


def _read_pem(text: str) -> Iterator[TokenKey]:
    for block in _PEM_BLOCK.finditer(text):
        label = block[1]
        if label == _PEM_PARAMETERS:
            continue
        if label == "CERTIFICATE":  # a chain would make every authority a signer of tokens
            raise KeyRefused("has a certificate: write its public key alone (openssl x509 -pubkey -noout)")
        if "ENCRYPTED" in label or "Proc-Type: 4,ENCRYPTED" in block[0]:
            raise KeyRefused("has a private key with a password; decrypt it (openssl pkey)")
        if label not in _PEM_PUBLIC | _PEM_PRIVATE:
            raise KeyRefused("has a PEM block that is neither PUBLIC KEY nor PRIVATE KEY")
        yield _read_pem_block(block[0].encode(), private=label in _PEM_PRIVATE)


def _read_pem_block(block: bytes, *, private: bool) -> TokenKey:
    try:
        native: Any = load_pem_private_key(block, None) if private else load_pem_public_key(block)
    except _DAMAGED:
        raise KeyRefused("has a PEM block that is no valid key") from None
    key: Key
    if RSAKey.binding.check_cryptography_key(native):
        check_rsa_bits(native.key_size)
        key = RSAKey.import_key(native)
    elif ECKey.binding.check_cryptography_key(native):
        key = ECKey.import_key(native)
    elif OKPKey.binding.check_cryptography_key(native):
        key = OKPKey.import_key(native)
    else:
        raise KeyRefused("has a key that is neither RSA, nor EC, nor Ed25519")
    curve = None if isinstance(key, RSAKey) else key.curve_name
    return TokenKey.create(key, _algorithm_of({"kty": key.key_type, "crv": curve}))
