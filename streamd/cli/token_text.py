"""The report of ``streamd token inspect`` as text and as JSON."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

import attrs

from ..auth import Caller
from ..characters import escape_invalid
from ..events import Selectors

_NOTHING: Final = "-"
_MAX_SHOWN_CHARS: Final = 200  # of a value of the header
_UNITS: Final = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


@attrs.frozen
class TokenReport:
    """The findings about one token.

    Args:
        problem: the reason why it is not accepted; None if it is.
        header: as decoded; empty if that is not possible.
        claims: as decoded; empty if that is not possible.
        caller: of the claims, whether they are verified or not; None if there is none.
    """

    problem: str | None
    header: dict[str, Any]
    claims: dict[str, Any]
    caller: Caller | None

    def as_json(self) -> dict[str, Any]:
        """Return the report as a JSON object."""
        return {
            "valid": self.problem is None,
            "problem": self.problem,
            "header": self.header,
            "claims": self.claims,
            "caller": None if self.caller is None else _caller_as_json(self.caller),
        }


def _caller_as_json(caller: Caller) -> dict[str, Any]:
    grant = caller.grant
    return {
        "user": caller.user,
        "merchant": caller.merchant,
        "publish": _texts(grant.publish),
        "subscribe": _texts(grant.subscribe),
        "tasks": grant.tasks.value,
        "admin": grant.admin,
        "token_id": caller.token_id,
        "issued_at": caller.issued_at,
        "accepted_until": caller.expires_at,
    }


def describe(report: TokenReport, now: float) -> str:
    """Return the report for people.

    Args:
        report: the findings.
        now: the present (s since 1970).
    """
    rows = [("valid", "yes") if report.problem is None else ("valid", f"no: {report.problem}")]
    if report.header:
        rows += [("algorithm", _shown(report.header.get("alg"))), ("key", _shown(report.header.get("kid")))]
    if report.caller is not None:
        rows += _rows(report.caller, now)
    return "\n".join(f"{name:<10} {escape_invalid(value)}" for name, value in rows)


def _rows(caller: Caller, now: float) -> Iterator[tuple[str, str]]:
    grant = caller.grant
    yield "id", caller.token_id or _NOTHING
    yield "user", caller.user or _NOTHING
    yield "merchant", caller.merchant or _NOTHING
    yield "publish", ", ".join(_texts(grant.publish)) or _NOTHING
    yield "subscribe", ", ".join(_texts(grant.subscribe)) or _NOTHING
    yield "tasks", grant.tasks.value
    yield "admin", "yes" if grant.admin else "no"
    if caller.issued_at is not None:
        yield "issued", _time(caller.issued_at, now)
    if caller.expires_at is not None:
        yield "until", _time(caller.expires_at, now)


def _texts(selectors: Selectors) -> list[str]:
    return sorted([*selectors.topics, *(pattern.text for pattern in selectors.patterns)])


def _shown(value: object) -> str:
    return _NOTHING if value is None else str(value)[:_MAX_SHOWN_CHARS]


def _time(at: float, now: float) -> str:
    """Format a time, and its distance from the present."""
    distance = abs(at - now)
    size, unit = next(((size, unit) for size, unit in _UNITS if distance >= size), _UNITS[-1])
    about = f"{distance / size:.0f} {unit}"
    shown = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return f"{shown}, {f'in {about}' if at > now else f'{about} ago'}"
