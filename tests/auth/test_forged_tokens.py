"""Every kind of forged, damaged and outdated token is refused, and the sentence says why."""

import base64
import hashlib
import hmac
import json
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jwe
from joserfc.jwk import OctKey, RSAKey

from streamd.auth.base64url import encode_base64url
from streamd.auth.generate import public_jwk
from streamd.auth.key_formats import read_jwk, read_secret
from streamd.auth.keys import KeyRing
from streamd.auth.tokens import TokenVerifier
from streamd.errors import InvalidToken
from tests.support.tokens import (
    CLAIMS,
    NOW,
    OTHER_SECRET,
    SECRET,
    auth_settings,
    forge,
    jwk_of,
    key_of,
    make_token,
)

HS256: Final = read_secret(SECRET)
HEADER: Final = {"alg": "HS256", "typ": "JWT"}


def verifier_with(*algorithms: str, **settings: Any) -> TokenVerifier:
    """Make a verifier with the tests' secret, and the public keys of some algorithms."""
    public = [read_jwk(public_jwk(jwk_of(algorithm))) for algorithm in algorithms]
    return TokenVerifier(auth_settings(**settings), KeyRing((HS256, *public)), clock=lambda: NOW)


async def refusal(verifier: TokenVerifier, token: str) -> str:
    """Verify a token that must be refused, and return the reason."""
    with pytest.raises(InvalidToken) as caught:
        await verifier.verify(token)
    assert caught.value.status == 401
    assert len(caught.value.detail) <= 250
    for part in token.split("."):  # no token in logs and answers
        assert len(part) < 8 or part not in caught.value.detail
    return caught.value.detail


def signed_by_public_key(form: str) -> str:
    """Sign a token as HS256, with the public RSA key as the secret."""
    public = RSAKey.import_key(public_jwk(jwk_of("RS256")))
    secrets = {
        "pem": public.as_pem(),
        "der": public.public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "jwk": json.dumps(public_jwk(jwk_of("RS256"))).encode(),
        "n": base64.urlsafe_b64decode(jwk_of("RS256")["n"] + "=="),
    }
    header = {**HEADER, "kid": jwk_of("RS256")["kid"]}
    signed = forge(header).rpartition(".")[0]
    return f"{signed}.{encode_base64url(hmac.digest(secrets[form], signed.encode(), hashlib.sha256))}"


def encrypted() -> str:
    key = OctKey.import_key(b"k" * 32)
    return jwe.encrypt_compact({"alg": "A256KW", "enc": "A128GCM"}, json.dumps(CLAIMS), key)


GOOD: Final = make_token()
PARTS: Final = GOOD.split(".")
FORGED: Final = {
    "empty": ("", "three parts"),
    "two parts": (".".join(PARTS[:2]), "three parts"),
    "four parts": (f"{GOOD}.x", "three parts"),
    "without a signature": (f"{PARTS[0]}.{PARTS[1]}.", "signature of the token is wrong"),
    "truncated by a character": (GOOD[:-1], "not base64url"),
    "truncated by a byte": (GOOD[:-2] + "A", "signature of the token is wrong"),
    "no base64": (f"{PARTS[0]}.{PARTS[1]}.{'!' * 43}", "not base64url"),
    "standard base64": (f"{PARTS[0]}.{PARTS[1]}.{'+/' * 21}8", "not base64url"),
    "padded": (f"{GOOD}=", "not base64url"),
    "with a line end": (f"{GOOD}\n", "not base64url"),
    "with unused bits": (f"{PARTS[0]}.{PARTS[1]}.{'A' * 42}B", "not base64url"),
    "no ASCII": (f"{PARTS[0]}.{PARTS[1]}é.{PARTS[2]}", "not base64url"),
    "half of a surrogate pair": (f"{GOOD}\ud800", "not base64url"),
    "two megabytes": ("A" * 2_000_000, "longer than 8192 bytes"),
    "a byte too long": (make_token(x="x" * 6200), "longer than 8192 bytes"),
    "header no JSON": (forge(b"{", key=HS256), "header of the token is not valid JSON"),
    "header with odd characters": (forge(b'{"a\x7f\\\\b":\x9d'), "['a???b'] is not valid UTF-8"),
    "header an array": (forge(b"[1]", key=HS256), "header of the token must be a JSON object"),
    "header with a member twice": (
        forge(b'{"alg": "none", "alg": "HS256"}', key=HS256),
        "two members named 'alg'",
    ),
    "no algorithm": (forge({"typ": "JWT"}, key=HS256), "not accepted"),
    "none": (forge({"alg": "none"}), "not accepted"),
    "none, with a signature": (forge({"alg": "none"}, key=HS256), "not accepted"),
    "None": (forge({"alg": "None"}), "not accepted"),
    "NONE": (forge({"alg": "NONE"}), "not accepted"),
    "an empty algorithm": (forge({"alg": ""}), "not accepted"),
    "an algorithm that is no text": (forge({"alg": ["HS256"]}, key=HS256), "not accepted"),
    "in small letters": (forge({"alg": "hs256"}, key=HS256), "not accepted"),
    "RS512": (forge({"alg": "RS512"}, signature=b"x"), "not accepted"),
    "PS256": (forge({"alg": "PS256"}, signature=b"x"), "not accepted"),
    "another hash": (forge({"alg": "HS384"}, key=HS256), "no key for the algorithm of the token (HS384)"),
    "another secret": (make_token(key=OTHER_SECRET), "signature of the token is wrong"),
    "other claims": (f"{PARTS[0]}.{forge(HEADER, {'sub': 'eve'}).split('.')[1]}.{PARTS[2]}", "is wrong"),
    "HMAC with the public PEM": (signed_by_public_key("pem"), "signature of the token is wrong"),
    "HMAC with the public DER": (signed_by_public_key("der"), "signature of the token is wrong"),
    "HMAC with the public JWK": (signed_by_public_key("jwk"), "signature of the token is wrong"),
    "HMAC with the modulus": (signed_by_public_key("n"), "signature of the token is wrong"),
    "RS256 with the secret": (forge({"alg": "RS256"}, key=HS256), "signature of the token is wrong"),
    "RSA key of another type": (
        forge({"alg": "ES256", "kid": jwk_of("RS256")["kid"]}, key=key_of("RS256")),
        "key of the token (kid) is not known",
    ),
    "another RSA key": (make_token(key=key_of("RS256", 1)), "key of the token (kid) is not known"),
    "kid of another key": (
        forge({"alg": "RS256", "kid": jwk_of("RS256")["kid"]}, key=key_of("RS256", 1)),
        "signature of the token is wrong",
    ),
    "kid that is no text": (forge({**HEADER, "kid": 7}, key=HS256), "(kid) must be text"),
    "kid that is too long": (forge({**HEADER, "kid": "k" * 257}, key=HS256), "(kid) must be text"),
    "its own key": (
        forge({"alg": "ES256", "jwk": public_jwk(jwk_of("ES256"))}, key=key_of("ES256")),
        "no key for the algorithm",
    ),
    "a URL with its own key": (
        forge({"alg": "ES256", "jku": "http://127.0.0.1:1/"}, key=key_of("ES256")),
        "no key for the algorithm",
    ),
    "critical extension": (forge({**HEADER, "crit": ["exp"], "exp": 1}, key=HS256), "(crit)"),
    "no critical extension": (forge({**HEADER, "crit": []}, key=HS256), "(crit)"),
    "unencoded payload": (forge({**HEADER, "b64": False}, key=HS256), "(crit)"),
    "encrypted": (encrypted(), "(JWE)"),
    "encryption in the header": (forge({**HEADER, "enc": "A128GCM"}, key=HS256), "(JWE)"),
    "nested": (forge({**HEADER, "cty": "JWT"}, key=HS256), "nested tokens"),
    "another type": (forge({**HEADER, "typ": "dpop+jwt"}, key=HS256), "another type (typ)"),
    "a logout token": (forge({**HEADER, "typ": "logout+jwt"}, key=HS256), "another type (typ)"),
    "a type that is no text": (forge({**HEADER, "typ": 1}, key=HS256), "another type (typ)"),
    "claims no JSON": (forge(HEADER, b"{'a': 1}", key=HS256), "claims of the token is not valid JSON"),
    "claims a text": (forge(HEADER, b'"sub"', key=HS256), "claims of the token must be a JSON object"),
    "claims with a member twice": (
        forge(HEADER, b'{"sub": "ada", "exp": 1e10, "sub": "eve"}', key=HS256),
        "two members named 'sub'",
    ),
    "claims in Latin-1": (forge(HEADER, b'{"sub": "\xe9", "exp": 1e10}', key=HS256), "UTF-8"),
    "claims too deep": (forge(HEADER, b'{"a":' + b"[" * 99 + b"]" * 99 + b"}", key=HS256), "nested deeper"),
}


@pytest.mark.parametrize("kind", FORGED)
async def test_a_forged_token_is_refused(kind: str) -> None:
    token, reason = FORGED[kind]
    assert reason in await refusal(verifier_with("RS256"), token)


async def test_the_token_that_the_forged_ones_were_made_from_is_right() -> None:
    assert (await verifier_with("RS256").verify(GOOD)).user == "ada"


TIMES: Final[dict[str, tuple[dict[str, Any], str]]] = {
    "no exp": ({}, "no expiry time (exp)"),
    "exp null": ({"exp": None}, "no expiry time (exp)"),
    "expired": ({"exp": NOW - 30}, "expired"),
    "expired long ago": ({"exp": 0}, "expired"),
    "negative exp": ({"exp": -1}, "exp must be a time"),
    "huge exp": ({"exp": 10**30}, "exp must be a time"),
    "largest float": ({"exp": 1.7e308}, "exp must be a time"),
    "milliseconds": ({"exp": NOW * 1000}, "exp must be a time"),
    "exp true": ({"exp": True}, "exp must be a time"),
    "exp a text": ({"exp": str(NOW + 9)}, "exp must be a time"),
    "exp a list": ({"exp": [NOW + 9]}, "exp must be a time"),
    "not yet valid": ({"exp": NOW + 99, "nbf": NOW + 31}, "not valid yet (nbf)"),
    "nbf a text": ({"exp": NOW + 99, "nbf": "0"}, "nbf must be a time"),
    "nbf true": ({"exp": NOW + 99, "nbf": True}, "nbf must be a time"),
    "issued in the future": ({"exp": NOW + 99, "iat": NOW + 31}, "issued in the future (iat)"),
    "iat false": ({"exp": NOW + 99, "iat": False}, "iat must be a time"),
}


@pytest.mark.parametrize("kind", TIMES)
async def test_a_token_at_the_wrong_time_is_refused(kind: str) -> None:
    claims, reason = TIMES[kind]
    assert reason in await refusal(verifier_with(), make_token(claims))


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": NOW - 29.5},
        {"exp": NOW + 0.25},
        {"exp": NOW + 9, "nbf": NOW + 30, "iat": NOW + 30},
        {"exp": 99_999_999_999},
    ],
)
async def test_a_token_within_the_leeway_is_accepted(claims: dict[str, Any]) -> None:
    caller = await verifier_with().verify(make_token(claims))
    assert caller.expires_at == claims["exp"] + 30


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({}, "another issuer (iss)"),
        ({"iss": "https://id.example/"}, "another issuer (iss)"),
        ({"iss": "https://ID.example"}, "another issuer (iss)"),
        ({"iss": ["https://id.example"]}, "iss must be text"),
        ({"iss": "https://id.example"}, "another audience (aud)"),
        ({"iss": "https://id.example", "aud": "other"}, "another audience (aud)"),
        ({"iss": "https://id.example", "aud": []}, "another audience (aud)"),
        ({"iss": "https://id.example", "aud": "streamd,other"}, "another audience (aud)"),
        ({"iss": "https://id.example", "aud": ["streamd", 7]}, "aud must be text, or a list"),
        ({"iss": "https://id.example", "aud": {"streamd": 1}}, "aud must be text, or a list"),
        ({"iss": "https://id.example", "aud": True}, "aud must be text, or a list"),
        ({"iss": "https://id.example", "aud": ["streamd"] * 33}, "aud must be text, or a list"),
    ],
)
async def test_a_token_for_others_is_refused(claims: dict[str, Any], reason: str) -> None:
    verifier = verifier_with(issuer="https://id.example", audience="streamd")
    assert reason in await refusal(verifier, make_token(**claims))


@pytest.mark.parametrize("audience", ["streamd", ["streamd"], ["other", "streamd"]])
async def test_a_token_for_this_server_is_accepted(audience: object) -> None:
    verifier = verifier_with(issuer="https://id.example", audience="streamd")
    assert (await verifier.verify(make_token(iss="https://id.example", aud=audience))).user == "ada"


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512", "RS256", "ES256", "EdDSA"])
async def test_every_algorithm_is_accepted_unless_it_is_left_out(algorithm: str) -> None:
    key = key_of(algorithm)
    token = make_token(key=key)
    others = [name for name in ("HS256", "RS256", "ES256") if name != algorithm]
    for algorithms, accepted in (([algorithm], True), (others, False)):
        settings = auth_settings(keys=[], algorithms=algorithms)
        verifier = TokenVerifier(settings, KeyRing((key,)), clock=lambda: NOW)
        if accepted:
            assert (await verifier.verify(token)).user == "ada"
        else:
            assert "not accepted" in await refusal(verifier, token)


@pytest.mark.parametrize("typ", ["JWT", "jwt", "at+jwt", "application/at+jwt"])
async def test_types_of_access_tokens_are_accepted(typ: str) -> None:
    assert (await verifier_with().verify(forge({"alg": "HS256", "typ": typ}, key=HS256))).user == "ada"
