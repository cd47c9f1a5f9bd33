"""Resuming from every position during publishing."""

import trio

from streamd.events import EARLIEST
from streamd.testing import RunningServer, open_stream, run_server

HISTORY = 500
READERS = 25  # concurrent


async def test_every_position_of_a_history_resumes_without_gap_or_repeat() -> None:
    async with run_server() as server:
        publish = server.streamd.publish
        ids = [str(EARLIEST), *[await publish(f"topic/{n % 3}", str(n)) for n in range(HISTORY)]]
        published = NumberPublisher(server, HISTORY)
        limit = trio.CapacityLimiter(READERS)

        async def resume(position: int) -> None:
            async with limit:
                # Beyond the history, into the events that are published meanwhile.
                count = HISTORY - position + published.ahead(20)
                async with open_stream(
                    server.url, patterns=["topic/*"], last_event_id=ids[position]
                ) as reader:
                    events = await reader.take(count)
                assert [event.data for event in events] == [str(position + n) for n in range(count)]
                assert [event.last_event_id for event in events] == sorted({e.last_event_id for e in events})

        with trio.fail_after(100):
            async with trio.open_nursery() as publishing:
                publishing.start_soon(published.run)
                async with trio.open_nursery() as readers:
                    for position in range(HISTORY + 1):
                        readers.start_soon(resume, position)
                publishing.cancel_scope.cancel()


class NumberPublisher:
    """Publishes consecutive numbers."""

    def __init__(self, server: RunningServer, first: int) -> None:
        self._server = server
        self._next = first

    def ahead(self, count: int) -> int:
        """Return the number of events after the history that were published, plus ``count``."""
        return self._next - HISTORY + count

    async def run(self) -> None:
        while True:
            await self._server.streamd.publish(f"topic/{self._next % 3}", str(self._next))
            self._next += 1
            await trio.sleep(0.002)  # sets the rate of publishing; no check depends on it
