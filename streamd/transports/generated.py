"""A generated stream: the items of an async generator, for one client and without the log."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import trio

from ..events import Frame, UnloggedEvent
from ..events.control import CursorMove
from ..events.ids import EventId
from ..hub import DeliveryRecord, SendQueue, Wire

FINISHED_ID: Final = EventId("over")
"""The last event id of a generated stream that came to its end. A reconnect that brings it is answered
204, which tells a native EventSource to stop reconnecting (WHATWG HTML section 9.2.3)."""


@asynccontextmanager
async def _closing(items: AsyncIterator[Any]) -> AsyncIterator[AsyncIterator[Any]]:
    """Close an iterator at the end of the block, if it is a generator; others have no ``aclose``."""
    try:
        yield items
    finally:
        if isinstance(items, AsyncGenerator):
            await items.aclose()


class GeneratedSource:
    """A source that runs a generator no faster than the client reads (back-pressure).

    Args:
        generator: yields text, bytes, JSON values or :class:`streamd.events.UnloggedEvent`.
        queue: the connection's send queue, which holds the generator back when it is full.
    """

    def __init__(self, generator: AsyncIterator[Any], queue: SendQueue) -> None:
        self._generator = generator
        self._queue = queue
        self._failure: Exception | None = None

    async def run(self) -> None:
        """Run the generator to its end; close it in any case, also when cancelled."""
        try:
            async with _closing(self._generator) as items:
                async for item in items:
                    await self._queue.put(item if isinstance(item, UnloggedEvent) else UnloggedEvent(item))
            await self._queue.put(CursorMove(FINISHED_ID))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return  # the client is gone
        except Exception as failure:  # noqa: BLE001 - any error of a program ends its own stream only
            self._failure = failure
        finally:
            self._queue.end()

    async def receive(self) -> Sequence[Frame]:
        """Wait for the next frames; return none at the end, or raise the generator's own error."""
        frames = await self._queue.get()
        if not frames and self._failure is not None:
            raise self._failure
        return frames

    def write_through(self, wire: Wire | None, sent: DeliveryRecord | None = None) -> None:
        """Ignore the wire: every frame passes the send queue, which holds the generator back."""
