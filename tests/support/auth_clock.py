"""Callers, and a wall clock that a test sets, for access control."""

from typing import Any

from streamd.auth import Caller

DAY = 86_400.0


class AuthClock:
    """A wall clock that stands still until a test lets time pass (s since 1970)."""

    def __init__(self) -> None:
        self.ms = 1_800_000_000_000

    def __call__(self) -> float:
        return self.ms / 1000

    def pass_seconds(self, seconds: float) -> None:
        """Let time pass."""
        self.ms += round(seconds * 1000)


def make_caller(user: str = "ann", token_id: str = "token", **others: Any) -> Caller:
    """Make a caller with a token that has no expiry, unless the test gives it one."""
    return Caller(user=user, token_id=token_id, **others)
