"""Tickets: single-use stand-ins for a token, for the URLs of WebSocket and EventSource.

::

    Caller ── create ──> Ticket ── redeem ──> the same Caller
                            '───── redeemed, or expired after 30 s ──> InvalidToken

A URL ends up in logs and histories, where a long-lived token must not be. Only the SHA-256 digest of a ticket
is stored. The caller that redeems one has the user, the token id, the time of issue and the expiry of the
token it was created with, so that its revocation (:mod:`..revocation`) and its expiry apply as before.

===========  =======================================================================================
``tickets``  :class:`Tickets`: creates and redeems them
``port``     :class:`TicketStore`: the stored tickets, and their maximum numbers
``memory``   :class:`.memory.MemoryTicketStore`: for one node; a restart forgets them
``redis``    :class:`.redis.RedisTicketStore`: for nodes on one Redis
===========  =======================================================================================
"""

from .port import TicketLimits, TicketStore
from .tickets import Ticket, Tickets

__all__ = ["Ticket", "TicketLimits", "TicketStore", "Tickets"]
