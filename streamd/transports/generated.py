"""A generated stream: the items of an async generator, for one client and without the log."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import trio

from ..events import Frame, UnloggedEvent
from ..events.control import CursorMove
from ..events.ids import EventId
from ..hub import DeliveryRecord, SendQueue, Wire
from .stream import PEER_GONE

FINISHED_ID: Final = EventId("over")
"""The last event id of a generated stream whose generator has ended or raised. A reconnect that brings it is
answered 204, which tells a native EventSource to stop reconnecting (WHATWG HTML section 9.2.3)."""


class GeneratorFailed(Exception):
    """A generator raised an error that, of a stream, would mean that the client is gone."""


@asynccontextmanager
async def _closing(items: AsyncIterator[Any]) -> AsyncIterator[AsyncIterator[Any]]:
    """Close an iterator at the end of the block, if it is a generator; others have no ``aclose``."""
    try:
        yield items
    finally:
        if isinstance(items, AsyncGenerator):
            await items.aclose()


class _ClientGone(Exception):
    """The connection has ended, and its send queue takes no more."""


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
            await self._generate()
            await self._put(CursorMove(FINISHED_ID))  # a failed one, too, must not be run again
        except _ClientGone:
            return
        finally:
            self._queue.end()

    async def _generate(self) -> None:
        """Queue the items of the generator until it ends or raises.

        Raises:
            _ClientGone: the queue takes no more.
        """
        try:
            async with _closing(self._generator) as items:
                async for item in items:
                    await self._put(item if isinstance(item, UnloggedEvent) else UnloggedEvent(item))
        except _ClientGone:
            raise
        except Exception as failure:  # noqa: BLE001 - any error of a program ends its own stream only
            self._failure = failure

    async def _put(self, frame: Frame) -> None:
        try:
            await self._queue.put(frame)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise _ClientGone from None

    async def receive(self) -> Sequence[Frame]:
        """Wait for the next frames; return none at the end, or raise the generator's own error."""
        frames = await self._queue.get()
        if not frames and self._failure is not None:
            if isinstance(self._failure, PEER_GONE):
                raise GeneratorFailed from self._failure
            raise self._failure
        return frames

    def write_through(self, wire: Wire | None, sent: DeliveryRecord | None = None) -> None:
        """Ignore the wire: every frame passes the send queue, which holds the generator back."""
