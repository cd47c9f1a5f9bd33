"""Settings of access control."""

import attrs

from ..config import not_negative, positive, setting, tuning


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
        "", "URL of the issuer's JWK set, fetched when a token names a key that is not known.", reload=True
    )
    algorithms: list[str] = tuning(
        ["HS256", "HS384", "HS512", "RS256", "ES256", "EdDSA"],
        "Signature algorithms that are accepted.",
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
