"""The claims of a token: times (RFC 7519 section 4.1), and who its caller is and what it may do.

The names of the claims are settings. A name with dots is a path, ``streamd.publish`` for
``{"streamd": {"publish": []}}``, unless the token has a claim of exactly this name, such as
``https://example.com/publish``. An empty name is no claim. A claim of the wrong type is an error and never
ignored: a token must not grant less, or more, than its issuer believes.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import attrs

from ..characters import check_text
from ..errors import InvalidField, InvalidToken
from ..events import Pattern, Selectors, validate_topic
from .caller import Caller
from .grants import Grant, TaskScope
from .settings import AuthSettings

MAX_SELECTORS: Final = 100
"""Maximum number of selectors in one claim."""
MAX_SELECTOR_BYTES: Final = 1024
MAX_NAME_CHARS: Final = 256  # of a user, and of a token's id
MAX_MERCHANT_CHARS: Final = 128  # a merchant is part of topics
MAX_TIME: Final = 100_000_000_000  # of the year 5138; a larger one is in milliseconds

_MAX_AUDIENCES: Final = 32
_SEPARATORS: Final = ":/*"  # characters with a meaning in topics and patterns
_WILDCARDS: Final = frozenset({"*", "**"})


@attrs.frozen
class TokenTimes:
    """The times of a token (s since 1970).

    Args:
        expires_at: ``exp``.
        not_before: ``nbf``; None without one.
        issued_at: ``iat``; None without one.
    """

    expires_at: float
    not_before: float | None = None
    issued_at: float | None = None

    @classmethod
    def read(cls, claims: Mapping[str, Any]) -> "TokenTimes":
        """Read the times of a token, which must have ``exp``.

        Raises:
            InvalidToken: one is missing, or no time.
        """
        expires_at = _read_time(claims, "exp")
        if expires_at is None:
            raise InvalidToken("the token has no expiry time (exp), which is required")
        return cls(expires_at, _read_time(claims, "nbf"), _read_time(claims, "iat"))

    def check(self, now: float, leeway_seconds: float) -> None:
        """Check that the token is valid at a time.

        Args:
            now: s since 1970.
            leeway_seconds: the difference of clocks that is allowed (s).

        Raises:
            InvalidToken: it has expired, or is not valid yet.
        """
        if now >= self.expires_at + leeway_seconds:
            raise InvalidToken("the token has expired (exp)")
        if self.not_before is not None and now < self.not_before - leeway_seconds:
            raise InvalidToken("the token is not valid yet (nbf)")
        # Tokens of a user are revoked by the time of their issue: one from the future would survive that.
        if self.issued_at is not None and now < self.issued_at - leeway_seconds:
            raise InvalidToken("the token was issued in the future (iat); compare the machines' clocks")


def _read_time(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    # `type`, because True is an int in Python. A float of JSON is finite.
    if type(value) not in (int, float) or not 0 <= value < MAX_TIME:
        raise InvalidToken(f"the claim {name} must be a time in seconds since 1970")
    return float(value)


def check_issuer(claims: Mapping[str, Any], settings: AuthSettings) -> None:
    """Check who made the token, and for whom.

    Raises:
        InvalidToken: the issuer or the audience is another one than that of the settings.
    """
    issuer, audience = claims.get("iss"), claims.get("aud")
    if issuer is not None and not isinstance(issuer, str):
        raise InvalidToken("the claim iss must be text")
    audiences = audience if isinstance(audience, list) else [] if audience is None else [audience]
    if len(audiences) > _MAX_AUDIENCES or not all(isinstance(each, str) for each in audiences):
        raise InvalidToken(f"the claim aud must be text, or a list of at most {_MAX_AUDIENCES} texts")
    if settings.issuer and issuer != settings.issuer:
        raise InvalidToken("the token is of another issuer (iss)")
    if settings.audience and settings.audience not in audiences:
        raise InvalidToken("the token is for another audience (aud)")


def read_caller(claims: Mapping[str, Any], times: TokenTimes, settings: AuthSettings) -> Caller:
    """Read who the caller is, and what it may do.

    Args:
        claims: of a token.
        times: of the same token.
        settings: the names of the claims. The leeway belongs to the lifetime: the caller expires when its
            token is no longer accepted, so that a stream does not end while a new one would begin.

    Raises:
        InvalidToken: a claim has the wrong type, or a value out of its bounds.
    """
    user = _read_name(claims, settings.user_claim, MAX_NAME_CHARS)
    tasks = _read_task_scope(claims, settings.tasks_claim)
    if tasks is TaskScope.OWN and not user:
        raise InvalidToken(f"the token grants a user's own tasks, and names no user ({settings.user_claim})")
    return Caller(
        user=user,
        merchant=_read_merchant(claims, settings.merchant_claim),
        grant=Grant(
            publish=_read_selectors(claims, settings.publish_claim),
            subscribe=_read_selectors(claims, settings.subscribe_claim),
            tasks=tasks,
            admin=_read_admin(claims, settings.admin_claim),
        ),
        token_id=_read_text(claims.get("jti"), "jti", MAX_NAME_CHARS),
        issued_at=times.issued_at,
        expires_at=times.expires_at + settings.leeway_seconds,
    )


def _find(claims: Mapping[str, Any], name: str) -> Any:
    """Return the value of a claim; None if the token has none."""
    if not name:
        return None
    if name in claims:
        return claims[name]
    value: Any = claims
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _read_text(value: Any, claim: str, max_chars: int) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidToken(f"the claim {claim} must be text of 1 to {max_chars} characters")
    try:
        return check_text(value, f"the claim {claim}", max_chars=max_chars)
    except InvalidField as error:
        raise InvalidToken(error.detail) from None


def _read_name(claims: Mapping[str, Any], claim: str, max_chars: int) -> str:
    """Read a name, which may be a whole number: databases number their users and merchants."""
    value = _find(claims, claim)
    return _read_text(str(value) if type(value) is int else value, claim, max_chars)


def _read_merchant(claims: Mapping[str, Any], claim: str) -> str:
    merchant = _read_name(claims, claim, MAX_SELECTOR_BYTES)
    if merchant.startswith(("http://", "https://")):
        merchant = _host_of(merchant, claim)
    if (
        len(merchant) > MAX_MERCHANT_CHARS
        or merchant != merchant.strip()
        or any(character in merchant for character in _SEPARATORS)
    ):
        raise InvalidToken(
            f"the claim {claim} must be a merchant of at most {MAX_MERCHANT_CHARS} characters, without ':', "
            "'/', '*' and outer spaces, or an http or https URL, whose host counts"
        )
    return merchant


def _host_of(url: str, claim: str) -> str:
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        host = None
    else:
        # Readers of URLs disagree about these characters, and so about the host.
        if "@" in parts.netloc or "\\" in url or "%" in parts.netloc:
            host = None
    if not host:
        raise InvalidToken(f"the claim {claim} must be a URL with a host, and without a user name")
    return host


def _read_selectors(claims: Mapping[str, Any], claim: str) -> Selectors:
    value = _find(claims, claim)
    if value is None:
        return Selectors()
    if not isinstance(value, list) or len(value) > MAX_SELECTORS:
        raise InvalidToken(f"the claim {claim} must be a list of at most {MAX_SELECTORS} selectors")
    try:
        return parse_selectors(value, f"the claim {claim}")
    except InvalidField as error:
        raise InvalidToken(error.detail) from None


def parse_selectors(texts: Iterable[object], noun: str) -> Selectors:
    """Parse selectors: a text with a segment ``*`` or ``**`` is a pattern, any other an exact topic.

    Args:
        texts: the selectors.
        noun: their name in errors.

    Raises:
        InvalidField: one is no valid topic or pattern.
    """
    topics, patterns = [], []
    for index, each in enumerate(texts):
        field = f"{noun}[{index}]"
        text = validate_topic(each, MAX_SELECTOR_BYTES, field=field)
        if _WILDCARDS.isdisjoint(text.replace(":", "/").split("/")):
            topics.append(text)
            continue
        try:
            patterns.append(Pattern(text))
        except InvalidField:
            raise InvalidField(f"{field} has '**' before its last segment", field=field) from None
    return Selectors(topics, patterns)


def _read_task_scope(claims: Mapping[str, Any], claim: str) -> TaskScope:
    value = _find(claims, claim)
    if value is None:
        return TaskScope.NONE
    if not isinstance(value, str) or value not in tuple(TaskScope):
        raise InvalidToken(f"the claim {claim} must be 'none', 'own' or 'all'")
    return TaskScope(value)


def _read_admin(claims: Mapping[str, Any], claim: str) -> bool:
    value = _find(claims, claim)
    if value is not None and not isinstance(value, bool):
        raise InvalidToken(f"the claim {claim} must be true or false")
    return bool(value)


def write_claims(caller: Caller, settings: AuthSettings) -> dict[str, Any]:
    """Return the claims of a token for a caller; :func:`read_caller` reads them.

    Args:
        caller: has an expiry time, which becomes ``exp`` without the leeway.
        settings: the names of the claims; the issuer and the audience.

    Raises:
        ValueError: a claim that the caller needs has no name.
    """
    assert caller.expires_at is not None
    grant = caller.grant
    claims: dict[str, Any] = {"exp": int(caller.expires_at)}
    if caller.issued_at is not None:
        claims["iat"] = int(caller.issued_at)
    named = {"iss": settings.issuer, "aud": settings.audience, "jti": caller.token_id}
    claims |= {name: value for name, value in named.items() if value}
    granted = {
        "user_claim": caller.user,
        "merchant_claim": caller.merchant,
        "publish_claim": _texts(grant.publish),
        "subscribe_claim": _texts(grant.subscribe),
        "tasks_claim": "" if grant.tasks is TaskScope.NONE else grant.tasks.value,
        "admin_claim": grant.admin,
    }
    for setting, value in granted.items():
        if value:
            _put(claims, getattr(settings, setting), value, f"tuning.auth.{setting}")
    return claims


def _texts(selectors: Selectors) -> list[str]:
    return sorted(selectors.topics) + sorted(pattern.text for pattern in selectors.patterns)


def _put(claims: dict[str, Any], name: str, value: object, setting: str) -> None:
    if not name:
        raise ValueError(f"{setting} is empty, so no token can have that claim")
    # A URL is one name, whatever dots its host has.
    *path, last = [name] if "://" in name else name.split(".")
    for part in path:
        claims = claims.setdefault(part, {})
        if not isinstance(claims, dict):
            raise ValueError(f"{setting} = {name} is inside of another claim")
    claims[last] = value
