"""A stream for one client, from an async generator."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import trio

from ..events import Frame, UnloggedEvent
from ..events.control import CursorMove
from ..events.ids import EventId
from ..hub import SendQueue, Sent, Wire

OVER: Final = EventId("over")
"""The last event id of a generated stream that ended by itself. A reconnect that brings it is
answered 204, which is how a server tells a native EventSource to stop (WHATWG HTML 9.2.3)."""


@asynccontextmanager
async def _closing(items: AsyncIterator[Any]) -> AsyncIterator[AsyncIterator[Any]]:
    """Close it at the end, if it can be: a generator can, another iterator need not."""
    try:
        yield items
    finally:
        if isinstance(items, AsyncGenerator):
            await items.aclose()


class GeneratedSource:
    """Feeds a connection's outbox from a generator, no faster than the client reads.

    Args:
        generator: yields text, JSON values or :class:`streamd.events.UnloggedEvent`.
    """

    def __init__(self, generator: AsyncIterator[Any], outbox: SendQueue) -> None:
        self._generator = generator
        self._outbox = outbox
        self._failure: Exception | None = None

    async def run(self) -> None:
        """Run the generator to its end, and close it however this ends."""
        try:
            async with _closing(self._generator) as items:
                async for item in items:
                    await self._outbox.put(item if isinstance(item, UnloggedEvent) else UnloggedEvent(item))
            await self._outbox.put(CursorMove(OVER))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return  # the client is gone
        except Exception as failure:  # noqa: BLE001 - whatever a program raises ends its own stream
            self._failure = failure
        finally:
            self._outbox.end()

    async def receive(self) -> Sequence[Frame]:
        """The next frames; empty at the end. Raises what the generator raised."""
        frames = await self._outbox.get()
        if not frames and self._failure is not None:
            raise self._failure
        return frames

    def write_through(self, wire: Wire | None, sent: Sent | None = None) -> None:
        """Everything goes through the outbox, which holds the generator back."""
