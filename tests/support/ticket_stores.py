"""The implementations of the store of tickets, each opened by a context manager."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from streamd.auth.tickets import TicketLimits, TicketStore
from streamd.auth.tickets.memory import MemoryTicketStore
from streamd.auth.tickets.redis import RedisTicketStore
from streamd.redis import RedisStore
from tests.support.auth_clock import AuthClock
from tests.support.redis_links import open_link
from tests.support.redis_servers import new_prefix

OpenTickets = Callable[[AuthClock, TicketLimits], AbstractAsyncContextManager[TicketStore]]


@asynccontextmanager
async def _memory_tickets(clock: AuthClock, limits: TicketLimits) -> AsyncIterator[TicketStore]:
    yield MemoryTicketStore(limits, clock)


@asynccontextmanager
async def _redis_tickets(clock: AuthClock, limits: TicketLimits) -> AsyncIterator[TicketStore]:
    async with open_link() as link:
        yield RedisTicketStore(RedisStore(link, new_prefix()), limits, lambda: clock.ms)


TICKET_STORES: dict[str, OpenTickets] = {"memory": _memory_tickets, "redis": _redis_tickets}
