"""Creating and redeeming tickets."""

import hashlib
import re
import secrets
import time
from collections.abc import Callable
from typing import Final

import attrs
import structlog
import trio

from ...errors import InvalidToken, TooLarge
from ..caller import Caller
from ..settings import AuthSettings
from ..stored_caller import decode_caller, encode_caller
from .port import TicketStore

TICKET_PREFIX: Final = "streamd-ticket-"
"""The beginning of each ticket, by which people and scanners of logs recognise one."""

_SECRET_BYTES: Final = 24  # 192 bits: nobody finds one by trying within its lifetime
_TEXT: Final = re.compile(re.escape(TICKET_PREFIX) + r"[A-Za-z0-9_-]{32}")
_RECORD_BYTES_MAX: Final = 16_384  # the grants of a token that fits into a request head

_log = structlog.get_logger(__name__)


@attrs.frozen
class Ticket:
    """A ticket for a client.

    Args:
        text: the ticket, of letters, digits, ``-`` and ``_``.
        expires_at: the time at which it expires (s since 1970).
    """

    text: str = attrs.field(repr=False)
    expires_at: float


class Tickets:
    """The tickets of one application.

    Args:
        store: the stored tickets.
        settings: the lifetime of tickets.
        now: the wall clock, as for the expiry of tokens (s since 1970).

    Attributes:
        settings: as given; may be replaced at any time.
    """

    def __init__(
        self, store: TicketStore, settings: AuthSettings, now: Callable[[], float] = time.time
    ) -> None:
        self.settings = settings
        self._store = store
        self._now = now

    async def create(self, caller: Caller) -> Ticket:
        """Create a ticket for a caller. It expires with the caller's token, if that is earlier.

        Raises:
            InvalidToken: the caller's token has expired.
            TooLarge: the caller's grant does not fit into a ticket.
            TooManyRequests: too many tickets of the user, or in all, are not redeemed.
            Unavailable: the store cannot be reached.
        """
        now, seconds = self._now(), self.settings.ticket_seconds
        if caller.expires_at is not None:
            seconds = min(seconds, caller.expires_at - now)
        if seconds <= 0:
            await trio.lowlevel.checkpoint()
            raise _expired()
        record = encode_caller(caller)
        if len(record) > _RECORD_BYTES_MAX:
            await trio.lowlevel.checkpoint()
            raise TooLarge(
                f"the claims of the token take {len(record)} bytes; a ticket holds {_RECORD_BYTES_MAX}"
            )
        text = TICKET_PREFIX + secrets.token_urlsafe(_SECRET_BYTES)
        await self._store.put(_digest(text), record, _owner_of(caller, record), seconds)
        return Ticket(text, now + seconds)

    async def redeem(self, text: str) -> Caller:
        """Return the caller that a ticket was created for, once.

        Its token may have been revoked meanwhile: ask :meth:`.Revocations.is_revoked`. Cancelling may spend
        the ticket.

        Raises:
            InvalidToken: the ticket is malformed, unknown, redeemed or expired, or its token has expired.
            Unavailable: the store cannot be reached; the ticket may be spent.
        """
        if _TEXT.fullmatch(text) is None:
            await trio.lowlevel.checkpoint()
            raise _unknown()
        record = await self._store.take(_digest(text))
        if record is None:
            raise _unknown()
        try:
            caller = decode_caller(record)
        except ValueError as error:
            _log.warning("ticket_unreadable", error=str(error)[:200])
            raise _unknown() from error
        if caller.expires_at is not None and caller.expires_at <= self._now():
            raise _expired()
        return caller


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _owner_of(caller: Caller, record: bytes) -> str:
    """Return a short name of the caller's user, or else of its token: without an id, by all that it says."""
    if caller.user:
        return _digest(f"user:{caller.user}")
    if caller.token_id:
        return _digest(f"token:{caller.token_id}")
    return hashlib.sha256(b"record:" + record).hexdigest()


def _unknown() -> InvalidToken:
    return InvalidToken(
        "the ticket is unknown, redeemed or expired; a ticket can be redeemed once", field="ticket"
    )


def _expired() -> InvalidToken:
    return InvalidToken("the token has expired")
