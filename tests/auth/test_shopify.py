"""Session tokens of Shopify apps, which name the shop: settings alone map them to a merchant.

See https://shopify.dev/docs/apps/build/authentication-authorization/session-tokens: HS256 with the secret of
the app, the shop's URL in ``dest``, the app's client id in ``aud``, no ``kid``, a lifetime of one minute.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from streamd.auth import Grant
from streamd.auth.base64url import encode_base64url
from streamd.auth.key_formats import read_secret
from streamd.auth.tokens import TokenVerifier
from streamd.errors import InvalidToken
from streamd.settings import load_settings
from tests.support.tokens import NOW, OTHER_SECRET, forge

APP_SECRET: Final = b"shpss_0123456789abcdef0123456789abcdef"
KEY: Final = f"HS256:{encode_base64url(APP_SECRET)}"
CONFIG: Final = f"""
[auth]
keys = ["{KEY}"]       # printf %s "$SHOPIFY_API_SECRET" | basenc --base64url
audience = "0123456789abcdef0123456789abcdef"  # the client id of the app

[tuning.auth]
algorithms = ["HS256"]
merchant_claim = "dest"
leeway_seconds = 5
"""
SESSION: Final[dict[str, Any]] = {
    "iss": "https://acme-shoes.myshopify.com/admin",
    "dest": "https://acme-shoes.myshopify.com",
    "aud": "0123456789abcdef0123456789abcdef",
    "sub": "42",
    "exp": NOW + 60,
    "nbf": NOW,
    "iat": NOW,
    "jti": "4321",
    "sid": "aaea182f2732d44c23057c0fea584021a4485b2bd25d3eb7fd349313ad24c685",
}


@pytest.fixture
def verifier(tmp_path: Path) -> TokenVerifier:
    file = tmp_path / "streamd.toml"
    file.write_text(CONFIG)
    return TokenVerifier(load_settings(file, {}).auth, clock=lambda: NOW)


def session_token(key: str = KEY, **claims: Any) -> str:
    return forge({"alg": "HS256", "typ": "JWT"}, {**SESSION, **claims}, read_secret(key))


async def test_a_session_token_names_the_merchant(verifier: TokenVerifier) -> None:
    caller = await verifier.verify(session_token())
    assert caller.merchant == "acme-shoes.myshopify.com"
    assert caller.user == "42"
    assert caller.token_id == "4321"
    assert caller.expires_at == NOW + 65
    assert caller.grant == Grant()


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: session_token(aud="another-app"), "another audience"),
        (lambda: session_token(key=OTHER_SECRET), "signature"),
        (lambda: session_token(exp=NOW - 5), "expired"),
        (lambda: session_token(dest="https://eve@acme-shoes.myshopify.com"), "dest must be a URL"),
        (lambda: session_token(dest=["https://acme-shoes.myshopify.com"]), "dest must be text"),
    ],
)
async def test_another_session_token_is_refused(
    verifier: TokenVerifier, make: Callable[[], str], reason: str
) -> None:
    with pytest.raises(InvalidToken, match=reason):
        await verifier.verify(make())
