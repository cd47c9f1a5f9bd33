"""Settings of access control."""

import ipaddress
from collections.abc import Iterator
from typing import Final

import attrs
import httpx

from ..config import Check, Clash, not_negative, positive, setting, tuning
from ..outbound import has_password, is_http_url

SHARED_SECRET_ALGORITHMS: Final = ("HS256", "HS384", "HS512")
"""Algorithms whose key both signs and verifies (RFC 7518 section 3.2)."""
ALGORITHMS: Final = (*SHARED_SECRET_ALGORITHMS, "RS256", "ES256", "EdDSA")
"""All signature algorithms that streamd implements (RFC 7518 section 3.1, RFC 8037)."""


def is_loopback_url(text: str) -> bool:
    """Return True for a URL whose host is localhost or a loopback address."""
    host = httpx.URL(text).host
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_safe_url(text: str) -> bool:
    """Return True for a URL that nobody on the way can answer: an https one, or one of this machine."""
    return is_http_url(text) and (httpx.URL(text).scheme == "https" or is_loopback_url(text))


@attrs.frozen(kw_only=True)
class AuthSettings:
    """Access control: keys, tokens, tickets, revocation. Without keys, everybody may do everything."""

    open: bool = setting(
        False,
        "Serve without keys on addresses that other machines can reach: everybody may publish and read "
        "everything but reserved topics.",
    )
    anonymous: bool = setting(
        False, "Let callers without a token read the events that are not private.", reload=True
    )
    keys: list[str] = setting(
        [],
        "Secrets that sign tokens by HMAC, each as base64url after its algorithm: HS256:…, HS384:… or "
        "HS512:… (`streamd keys` makes one). Several: the first signs, all verify, for rotation.",
        secret=True,
        reload=True,
    )
    key_file: str = setting(
        "", "File with the keys that verify tokens: a JWK, a JWK set (RFC 7517) or PEM.", reload=True
    )
    jwks_url: str = setting(
        "",
        "URL of the issuer's JWK set, fetched at the start, every five minutes, and when a token names a key "
        "that is not known.",
        Check(
            "empty, or an https URL; http only on localhost, because others could replace the keys",
            lambda text: not text or _is_safe_url(text),
        ),
        Check("without a password, which logs would show", lambda text: not has_password(text)),
        reload=True,
    )
    algorithms: list[str] = tuning(
        list(ALGORITHMS),
        "Signature algorithms that are accepted. A key verifies tokens of one algorithm only.",
        reload=True,
    )
    issuer: str = setting("", "Required `iss` of tokens. Empty: any.", reload=True)
    audience: str = setting("", "Required `aud` of tokens. Empty: any.", reload=True)
    leeway_seconds: float = tuning(
        30.0, "Difference of clocks that is allowed in `exp` and `nbf` (s).", not_negative, reload=True
    )
    user_claim: str = tuning("sub", "Claim with the user.", reload=True)
    merchant_claim: str = tuning(
        "merchant", "Claim with the merchant; of a URL, as in Shopify's `dest`, its host counts.", reload=True
    )
    publish_claim: str = tuning(
        "publish", "Claim with the selectors that the caller may publish to.", reload=True
    )
    subscribe_claim: str = tuning(
        "subscribe", "Claim with the selectors whose events the caller may read.", reload=True
    )
    tasks_claim: str = tuning(
        "tasks", "Claim with the tasks that the caller may use: own or all.", reload=True
    )
    admin_claim: str = tuning("admin", "Claim that makes an administrator: true.", reload=True)
    cookie: str = tuning(
        "__Host-streamd",
        "Name of the cookie with the token, for pages. Empty: no cookie is read.",
        reload=True,
    )
    ticket_seconds: float = tuning(30.0, "Lifetime of a ticket (s).", positive, reload=True)
    revoked_tokens: list[str] = tuning([], "`jti` of tokens that are revoked.", reload=True)
    revoked_users: list[str] = tuning([], "Users whose tokens are revoked.", reload=True)

    @property
    def has_keys(self) -> bool:
        """True if tokens can be verified; otherwise the server is open."""
        return bool(self.keys or self.key_file or self.jwks_url)

    def clashes(self) -> Iterator[Clash]:
        """Yield algorithms that do not exist, and a source of keys that no algorithm can use."""
        unknown = [name for name in self.algorithms if name not in ALGORITHMS]
        if unknown or not self.algorithms:
            wrong = f"{unknown[0]} is not supported" if unknown else "no token could be verified"
            yield Clash(("algorithms",), f"{wrong}; there are {', '.join(ALGORITHMS)}")
        elif self.jwks_url and set(self.algorithms) <= set(SHARED_SECRET_ALGORITHMS):
            yield Clash(
                ("jwks_url", "algorithms"),
                "keys from a URL are public: name RS256, ES256 or EdDSA",
            )
        if self.jwks_url and not self.audience:
            yield Clash(
                ("audience", "jwks_url"),
                "the issuer signs tokens for other services, too: name the audience of those for this one",
            )
