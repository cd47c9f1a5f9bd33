"""Callers without signatures: tokens and tickets that stand in a table."""

from collections.abc import Mapping

import trio

from streamd.auth import Caller
from streamd.errors import InvalidToken
from streamd.events import Pattern, Selectors


def selectors(*texts: str) -> Selectors:
    """Build selectors; texts with a ``*`` are patterns."""
    return Selectors(
        [text for text in texts if "*" not in text], [Pattern(text) for text in texts if "*" in text]
    )


class FakeProofs:
    """Verifies tokens, redeems tickets, and knows what is revoked.

    Args:
        tokens, tickets: the caller of each.

    Attributes:
        revoked: users whose tokens are revoked.
    """

    def __init__(
        self, tokens: Mapping[str, Caller] | None = None, tickets: Mapping[str, Caller] | None = None
    ) -> None:
        self._tokens = dict(tokens or {})
        self._tickets = dict(tickets or {})
        self.revoked: set[str] = set()

    def add_token(self, text: str, caller: Caller) -> None:
        """Let a token name a caller."""
        self._tokens[text] = caller

    def add_ticket(self, text: str, caller: Caller) -> None:
        """Let a ticket stand for a caller, once."""
        self._tickets[text] = caller

    async def verify(self, text: str) -> Caller:
        await trio.lowlevel.checkpoint()
        if text not in self._tokens:
            raise InvalidToken("no such token", field="Authorization")
        return self._tokens[text]

    async def redeem(self, text: str) -> Caller:
        await trio.lowlevel.checkpoint()
        if text not in self._tickets:
            raise InvalidToken("no such ticket", field="ticket")
        return self._tickets.pop(text)

    def knows(self, name: str) -> bool:
        return True

    def is_revoked(self, caller: Caller) -> bool:
        return caller.user in self.revoked
