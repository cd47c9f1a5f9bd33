"""The port of the store of tickets."""

from typing import Protocol

import attrs

from ...errors import TooManyRequests


@attrs.frozen
class TicketLimits:
    """Maximum numbers of tickets that are neither redeemed nor expired.

    Args:
        of_owner: of one user: many pages that reconnect at once, each with a ticket for each stream.
        in_all: of all users: more than a server has connections, and some 30 MB.
    """

    of_owner: int = 100
    in_all: int = 50_000


class TicketStore(Protocol):
    """The tickets that are neither redeemed nor expired."""

    async def put(self, digest: str, record: bytes, owner: str, seconds: float) -> None:
        """Store a ticket.

        Args:
            digest: of the ticket, in hexadecimal.
            record: the caller that redeems it.
            owner: shares the maximum number of an owner with its other tickets; empty for none.
            seconds: its lifetime (s).

        Raises:
            TooManyRequests: a maximum number of tickets is reached; nothing was stored.
            Unavailable: the store cannot be reached; the ticket may have been stored.
        """

    async def take(self, digest: str) -> bytes | None:
        """Remove a ticket, and return its record; None if it is unknown or expired.

        Of several calls, on any nodes, one has the record. Cancelling may remove it as well.

        Raises:
            Unavailable: the store cannot be reached; the ticket may have been removed.
        """


def too_many_of_owner(limits: TicketLimits, seconds: float) -> TooManyRequests:
    """Build the error for a ticket over the maximum number of its owner."""
    return TooManyRequests(
        f"the user has {limits.of_owner} tickets that are not redeemed, the maximum number",
        retry_after_seconds=seconds,
    )


def too_many_tickets(limits: TicketLimits, seconds: float) -> TooManyRequests:
    """Build the error for a ticket over the maximum number in all."""
    return TooManyRequests(
        f"{limits.in_all} tickets are not redeemed, the maximum number", retry_after_seconds=seconds
    )
