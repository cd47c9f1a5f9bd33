"""Revocations, and the port of their store."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final, Protocol

import attrs

from ...errors import Unavailable

MAX_REVOCATIONS: Final = 20_000
"""Maximum number of revocations of each kind: some MB on each node."""

EXPIRED_AFTER_MS: Final = 86_400_000
"""A revocation is kept this long after its end (ms): longer than the leeway of ``exp``, and than a wall clock
that was set wrong is left like that."""

_FULL_RETRY_SECONDS: Final = 3600.0  # revocations expire within hours or days


class RevocationKind(StrEnum):
    """The tokens that a revocation covers: one, or those of a user."""

    TOKEN = "token"  # noqa: S105 - no password
    USER = "user"


@attrs.frozen
class Revocation:
    """A revocation of one token, or of the tokens of a user until now.

    Args:
        kind: the tokens that it covers.
        name: the id of the token, or the user.
        revoked_at_ms: its moment: a token of the user that was issued later is not covered (ms since 1970).
        until_ms: the time until which it is needed (ms since 1970).
    """

    kind: RevocationKind
    name: str
    revoked_at_ms: int
    until_ms: int

    @property
    def key(self) -> tuple[RevocationKind, str]:
        """The kind and the name, of which there is one revocation."""
        return self.kind, self.name

    def merge(self, other: "Revocation | None") -> "Revocation":
        """Return the revocation that covers all that this and another one of the same key cover."""
        if other is None:
            return self
        return attrs.evolve(
            self,
            revoked_at_ms=max(self.revoked_at_ms, other.revoked_at_ms),
            until_ms=max(self.until_ms, other.until_ms),
        )

    def is_expired(self, now_ms: int) -> bool:
        """Return True if all tokens that it covers have expired."""
        return self.until_ms <= expired_until(now_ms)


@attrs.frozen
class RevocationReading:
    """The result of a reading of a store.

    Args:
        revocations: those that were added or changed since the last reading, or all.
        is_complete: they are all revocations of the store.
    """

    revocations: Sequence[Revocation]
    is_complete: bool


class RevocationStore(Protocol):
    """The stored revocations.

    Attributes:
        is_shared: True if other nodes add revocations, too.
    """

    @property
    def is_shared(self) -> bool: ...

    async def add(self, revocations: Sequence[Revocation], now_ms: int) -> None:
        """Store revocations, each merged with the one of the same key; expired ones are left out.

        Cancelling takes effect before they are stored, or not at all.

        Raises:
            Unavailable: the maximum number is reached, or the store cannot be written now. Of several
                revocations, some may have been stored.
            OutcomeUnknown: the connection to a store that nodes share was lost, and did not come back.
        """

    async def read(self) -> RevocationReading:
        """Read all revocations the first time, and later at least those that were added since.

        Raises:
            Unavailable: the store cannot be read now.
        """

    async def drop(self, now_ms: int) -> None:
        """Delete expired revocations.

        Raises:
            Unavailable: the store cannot be written now.
        """


def expired_until(now_ms: int) -> int:
    """Return the newest end of expired revocations (ms since 1970)."""
    return now_ms - EXPIRED_AFTER_MS


def too_many_revocations(kind: RevocationKind, maximum: int) -> Unavailable:
    """Build the error for a revocation over the maximum number of its kind."""
    return Unavailable(
        f"{maximum} revocations by {kind} are in force, the maximum number; auth.revoked_{kind}s of the"
        " configuration takes more",
        retry_after_seconds=_FULL_RETRY_SECONDS,
    )
