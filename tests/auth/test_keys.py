"""Keys of the settings: what is accepted, and that every mistake is named without quoting a secret."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from joserfc.jwk import JWKRegistry, OctKey

from streamd.auth.base64url import decode_base64url, encode_base64url
from streamd.auth.compact import parse_token, sign_token
from streamd.auth.generate import generate_jwk, generate_secret, public_jwk
from streamd.auth.key_formats import read_jwk, read_secret
from streamd.auth.keys import KeyRing, load_keys
from streamd.auth.settings import ALGORITHMS, SHARED_SECRET_ALGORITHMS
from streamd.auth.token_key import KeyRefused
from streamd.config import SettingsError
from tests.support.certificates import authority
from tests.support.tokens import CLAIMS, OTHER_SECRET, SECRET, auth_settings, jwk_of, key_of


def secret_of(length: int, algorithm: str = "HS256") -> str:
    return f"{algorithm}:{encode_base64url(b's' * length)}"


def pem_of(key: Any, encryption: KeySerializationEncryption | None = None) -> bytes:
    encryption = encryption or NoEncryption()
    encoded: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    return encoded


def pem_of_jwk(jwk: dict[str, Any], *, private: bool) -> bytes:
    key = JWKRegistry.import_key(jwk)
    assert not isinstance(key, OctKey)
    return key.as_pem(private=private)


def problems(**settings: Any) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load_keys(auth_settings(**settings))
    return [problem.text for problem in caught.value.problems]


@pytest.mark.parametrize(("algorithm", "length"), [("HS256", 32), ("HS384", 48), ("HS512", 64)])
def test_a_secret_is_at_least_as_long_as_its_hash(algorithm: str, length: int) -> None:
    assert read_secret(secret_of(length, algorithm)).algorithm == algorithm
    with pytest.raises(KeyRefused, match=f"has {length - 1} bytes, and {algorithm} needs at least {length}"):
        read_secret(secret_of(length - 1, algorithm))


def test_a_secret_may_have_padding() -> None:
    assert read_secret(f"{secret_of(32)}=") == read_secret(secret_of(32))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("", "must begin with one of HS256:, HS384:, HS512:"),
        ("top-secret-text", "must begin with"),
        ("none:", "must begin with"),
        ("RS256:" + "A" * 43, "must begin with"),
        ("hs256:" + "A" * 43, "must begin with"),
        ("HS256:", "has 0 bytes"),
        ("HS256:top/secret+text", "must be base64url"),
        ("HS256:top secret text", "must be base64url"),
        ("HS256:" + encode_base64url(b"-----BEGIN PRIVATE KEY-----" + b"x" * 40), "is a key file"),
        ("HS256:" + encode_base64url(b"ssh-ed25519 AAAA" + b"x" * 40), "is a key file"),
        (
            "HS256:"
            + encode_base64url(
                ec.generate_private_key(ec.SECP256R1())
                .public_key()
                .public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            ),
            "is a public key",
        ),
    ],
)
def test_a_secret_of_another_form_is_refused_and_not_quoted(line: str, reason: str) -> None:
    (text,) = problems(keys=[SECRET, line])
    assert text.startswith("auth.keys[1]: ")
    assert reason in text
    assert "secret-text" not in text
    assert "secret text" not in text


def test_every_mistake_is_reported_at_once(tmp_path: Path) -> None:
    file = tmp_path / "none.json"
    found = problems(keys=["x", SECRET, secret_of(31)], key_file=str(file), algorithms=["ES256"])
    assert [text.partition(": ")[0] for text in found] == [
        "auth.keys[0]",
        "auth.keys[1]",
        "auth.keys[2]",
        "auth.key_file",
    ]
    assert "HS256 is not one of tuning.auth.algorithms" in found[1]
    assert found[3] == f"auth.key_file: {file}: cannot be read: No such file or directory"


def test_the_number_of_keys_is_bounded(tmp_path: Path) -> None:
    assert problems(keys=[SECRET] * 33) == ["auth.keys: has 33 keys, and may have at most 32"]
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({"keys": [jwk_of("EdDSA")] * 33}))
    assert "has 33 keys, and may have at most 32" in problems(key_file=str(file))[0]


EC_JWK: Final = jwk_of("ES256")
RSA_JWK: Final = jwk_of("RS256")


def with_weak_modulus() -> dict[str, Any]:
    numbers = rsa.generate_private_key(65537, 1024).public_key().public_numbers()
    return {"kty": "RSA", "e": "AQAB", "n": encode_base64url(numbers.n.to_bytes(128, "big"))}


BROKEN_FILES: Final[dict[str, tuple[Callable[[], bytes | dict[str, Any]], str]]] = {
    "empty": (lambda: b"", "is neither a JWK, nor a JWK set, nor PEM"),
    "text": (SECRET.encode, "is neither a JWK, nor a JWK set, nor PEM"),
    "bytes": (lambda: b"\xff\xfe", "is neither a JWK, nor a JWK set, nor PEM"),
    "too large": (lambda: b" " * 1_048_577, "is larger than 1048576 bytes"),
    "no JSON": (lambda: b'{"kty": "oct", "k": "very-secret', "is not valid JSON"),
    "a member twice": (lambda: b'{"kty": "oct", "kty": "RSA"}', "two members of one name"),
    "no keys": (lambda: {"keys": "x"}, "must have the member keys"),
    "an empty set": (lambda: {"keys": []}, "has no key for one of tuning.auth.algorithms"),
    "foreign keys only": (
        lambda: {"keys": [{**EC_JWK, "use": "enc"}]},
        "has no key for one of tuning.auth.algorithms",
    ),
    "a key that is no object": (lambda: {"keys": [EC_JWK, 7]}, "keys[1]: must be a JSON object"),
    "no type": (lambda: {"k": "x"}, "kty must be RSA, EC, OKP or oct"),
    "unknown type": (lambda: {"kty": "AKP"}, "kty must be RSA, EC, OKP or oct"),
    "type that is no text": (lambda: {"kty": ["RSA"]}, "kty must be RSA, EC, OKP or oct"),
    "secret without alg": (lambda: {"kty": "oct", "k": "x" * 44}, "a secret must name its alg"),
    "secret for RS256": (lambda: {"kty": "oct", "k": "x" * 44, "alg": "RS256"}, "a secret must name its alg"),
    "short secret": (lambda: {"kty": "oct", "alg": "HS512", "k": "A" * 44}, "HS512 needs at least 64"),
    "secret without k": (lambda: {"kty": "oct", "alg": "HS512"}, "is no valid oct key"),
    "RSA key for HS256": (lambda: {**RSA_JWK, "alg": "HS256"}, "alg must be RS256"),
    "RSA key for RS512": (lambda: {**RSA_JWK, "alg": "RS512"}, "alg must be RS256"),
    "RSA key for encryption": (lambda: {**RSA_JWK, "use": "enc"}, "use must be sig"),
    "RSA key for other work": (lambda: {**RSA_JWK, "key_ops": ["wrapKey"]}, "key_ops must contain verify"),
    "operations no list": (lambda: {**RSA_JWK, "key_ops": "verify"}, "key_ops must contain verify"),
    "weak RSA key": (with_weak_modulus, "has 1024 bits, and must have 2048 to 8192"),
    "huge RSA key": (lambda: {**RSA_JWK, "n": "f" * 2000}, "has 11999 bits, and must have 2048 to 8192"),
    "endless RSA key": (lambda: {**RSA_JWK, "n": "f" * 5000}, "must be texts of at most 4096 characters"),
    "RSA key without n": (lambda: {"kty": "RSA", "e": "AQAB"}, "is no valid RSA key"),
    "RSA key with exponent 1": (
        lambda: {"kty": "RSA", "e": "AQ", "n": RSA_JWK["n"]},
        "is no valid RSA key",
    ),
    "RSA key with a number": (lambda: {**RSA_JWK, "e": 65537}, "must be texts"),
    "P-384": (lambda: {**EC_JWK, "crv": "P-384", "alg": None}, "crv must be P-256"),
    "a point beside the curve": (lambda: {**public_jwk(EC_JWK), "x": EC_JWK["y"]}, "is no valid EC key"),
    "X25519": (lambda: {**jwk_of("EdDSA"), "crv": "X25519"}, "crv must be Ed25519 or Ed448"),
    "kid a number": (lambda: {**EC_JWK, "kid": 1}, "kid must be text"),
    "weak PEM": (lambda: pem_of(rsa.generate_private_key(65537, 1024)), "has 1024 bits"),
    "PEM of P-384": (lambda: pem_of(ec.generate_private_key(ec.SECP384R1())), "crv must be P-256"),
    "PEM of X25519": (lambda: pem_of(x25519.X25519PrivateKey.generate()), "crv must be Ed25519 or Ed448"),
    "PEM of DSA": (lambda: pem_of(dsa.generate_private_key(1024)), "is neither RSA, nor EC, nor Ed25519"),
    "PEM with a password": (
        lambda: pem_of(ec.generate_private_key(ec.SECP256R1()), BestAvailableEncryption(b"x")),
        "has a private key with a password",
    ),
    "certificate": (authority().cert_pem.bytes, "has a certificate"),
    "SSH key": (
        lambda: b"-----BEGIN OPENSSH PRIVATE KEY-----\nx\n-----END OPENSSH PRIVATE KEY-----",
        "neither PUBLIC KEY nor PRIVATE KEY",
    ),
    "damaged PEM": (
        lambda: b"-----BEGIN PUBLIC KEY-----\nabc\n-----END PUBLIC KEY-----",
        "is no valid key",
    ),
    "PEM that is cut off": (lambda: b"-----BEGIN PUBLIC KEY-----\nabc", "has no key for one of"),
}


@pytest.mark.parametrize("kind", BROKEN_FILES)
def test_a_broken_key_file_is_refused(tmp_path: Path, kind: str) -> None:
    make, reason = BROKEN_FILES[kind]
    content = make()
    file = tmp_path / "key"
    file.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    (text,) = problems(keys=[], key_file=str(file))
    assert text.startswith(f"auth.key_file: {file}: ")
    assert reason in text
    assert "very-secret" not in text
    assert RSA_JWK["d"][:20] not in text


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
@pytest.mark.parametrize("private", [True, False])
@pytest.mark.parametrize("form", ["jwk", "set", "pem"])
def test_a_key_file_of_any_form_verifies(tmp_path: Path, algorithm: str, private: bool, form: str) -> None:
    jwk = jwk_of(algorithm) if private else public_jwk(jwk_of(algorithm))
    file = tmp_path / "key"
    if form == "pem":
        file.write_bytes(pem_of_jwk(jwk, private=private))
    else:
        others = [{"kty": "AKP", "alg": "ML-DSA-44"}, {"kty": "RSA", "use": "enc", "n": "x", "e": "AQAB"}]
        file.write_text(json.dumps(jwk if form == "jwk" else {"keys": [*others, jwk]}))
    ring = load_keys(auth_settings(keys=[], key_file=str(file)))
    (key,) = ring.keys
    assert (key.algorithm, key.can_sign) == (algorithm, private)
    assert ring.signing_key == (key if private else None)
    token = parse_token(sign_token(key_of(algorithm), CLAIMS), ALGORITHMS)
    assert key.verify(token.signed, token.signature)
    assert not key.verify(token.signed + b"x", token.signature)


def test_a_pem_file_may_have_several_keys(tmp_path: Path) -> None:
    file = tmp_path / "keys.pem"
    parameters = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    file.write_bytes(parameters + b"".join(map(pem_of, keys)))
    assert len(load_keys(auth_settings(keys=[], key_file=str(file))).keys) == 2


def test_the_first_key_that_can_sign_signs(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({"keys": [public_jwk(jwk_of("ES256", 1)), jwk_of("ES256")]}))
    assert load_keys(auth_settings(keys=[], key_file=str(file))).signing_key == key_of("ES256")
    ring = load_keys(auth_settings(keys=[OTHER_SECRET, SECRET], key_file=str(file)))
    assert ring.signing_key == read_secret(OTHER_SECRET)


def test_keys_without_an_id_may_have_signed_tokens_with_an_unknown_one() -> None:
    named, unnamed = key_of("HS256"), read_secret(SECRET)
    ring = KeyRing((named, unnamed, key_of("ES256")))
    assert ring.find("HS256", "") == (named, unnamed)
    assert ring.find("HS256", named.key_id) == (named,)
    assert ring.find("HS256", "other") == (unnamed,)
    assert ring.find("ES256", "other") == ()
    assert ring.has("ES256", "")
    assert not ring.has("ES256", "other")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_generated_key_signs_and_verifies(algorithm: str) -> None:
    key = key_of(algorithm)
    assert key.algorithm == algorithm
    assert key.can_sign
    assert key.key_id
    assert "d" not in public_jwk(jwk_of(algorithm))
    assert "k" not in public_jwk(jwk_of(algorithm))
    token = parse_token(sign_token(key, CLAIMS), [algorithm])
    assert token.key_id == key.key_id
    assert key.verify(token.signed, token.signature)


@pytest.mark.parametrize("algorithm", SHARED_SECRET_ALGORITHMS)
def test_a_generated_secret_is_new_and_valid(algorithm: str) -> None:
    first, second = generate_secret(algorithm), generate_secret(algorithm)
    assert first != second
    assert read_secret(first).algorithm == algorithm


def test_no_representation_shows_a_key() -> None:
    jwk = generate_jwk("HS256")
    shown = repr(KeyRing((read_jwk(jwk), read_secret(SECRET))))
    assert jwk["k"] not in shown
    assert SECRET.partition(":")[2] not in shown


@pytest.mark.parametrize("text", ["A", "AB", "AAA=", "AA==", "+/+/", "AA\n", " AAAA", "é", "AAAA\x00"])
def test_only_canonical_base64url_is_decoded(text: str) -> None:
    with pytest.raises(ValueError, match="not base64url"):
        decode_base64url(text)
