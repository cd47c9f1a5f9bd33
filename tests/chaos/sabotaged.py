"""An application with a log that breaks its promises, for tests of the checker.

The environment variable ``CHAOS_FAULT`` names the fault, and ``CHAOS_RATE`` how often it occurs: once in
so many times on average.
"""

import os
import random
from collections.abc import Callable, Sequence
from typing import Any, Final, NoReturn
from unittest.mock import patch

import attrs
import trio
from quart_trio import QuartTrio

from streamd import create_app
from streamd.broker import Broker, BrokerSettings
from streamd.events import Draft, Event, EventId, Selectors
from streamd.events.ids import make_event_id, split_event_id
from streamd.log.port import Log, Page, Receipt
from streamd.settings import Settings
from tests.chaos.sabotaged_redis import FAULTY_REDIS

_EARLY_SECONDS: Final = 0.05
_FAR_AHEAD: Final = 500_000  # sequence numbers: an id that no event of the log gets


def make_app(settings: Settings) -> QuartTrio:
    """Make streamd's application, whose log has the fault that the environment names."""
    sabotage, rate = FAULTY[os.environ["CHAOS_FAULT"]], int(os.environ.get("CHAOS_RATE", "20"))
    create = Broker.create

    def create_sabotaged(settings: BrokerSettings, log: Log) -> Broker:
        return create(settings, sabotage(log, rate))

    with patch.object(Broker, "create", create_sabotaged):  # the log is built in between, whatever its kind
        return create_app(settings)


class _Wrapper:
    """A log that hands everything on to another one."""

    def __init__(self, log: Log, rate: int) -> None:
        self._log = log
        self._rate = rate
        self._random = random.Random(os.getpid())

    def _strikes(self) -> bool:
        return self._random.randrange(self._rate) == 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def append(self, drafts: Sequence[Draft], *more: Any, publisher: str = "") -> Any:
        return await self._log.append(drafts, *more, publisher=publisher)

    async def read(self, selectors: Selectors, after: EventId, *, max_events: int, max_bytes: int) -> Page:
        page = await self._log.read(selectors, after, max_events=max_events, max_bytes=max_bytes)
        return self._change(page)

    async def tail(self, after: EventId, **options: Any) -> Page:
        return self._change(await self._log.tail(after, **options))

    def _change(self, page: Page) -> Page:
        return page

    async def run(self) -> NoReturn:
        await self._log.run()


class EarlyAck(_Wrapper):
    """Acknowledges events without a key before they are committed: a kill in between loses them."""

    def __init__(self, log: Log, rate: int) -> None:
        super().__init__(log, rate)
        self._promised: list[Draft] = []

    async def append(self, drafts: Sequence[Draft], *more: Any, publisher: str = "") -> Any:
        if publisher or more or not self._strikes() or any(draft.idempotency_key for draft in drafts):
            return await super().append(drafts, *more, publisher=publisher)
        await trio.lowlevel.checkpoint()
        self._promised += drafts
        ms, sequence = split_event_id(self.head)
        return [Receipt(make_event_id(ms, sequence + number)) for number in range(1, len(drafts) + 1)]

    async def run(self) -> NoReturn:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._log.run)
            while True:
                await trio.sleep(_EARLY_SECONDS)
                promised, self._promised = self._promised, []
                if promised:
                    await self._log.append(promised)
        raise AssertionError("the log runs until it is cancelled")


class DropOne(_Wrapper):
    """Drops one event of several that are appended together."""

    async def append(self, drafts: Sequence[Draft], *more: Any, publisher: str = "") -> Any:
        if publisher or more or len(drafts) < 2 or not self._strikes():
            return await super().append(drafts, *more, publisher=publisher)
        receipts = await super().append(drafts[:-1], publisher=publisher)
        ms, sequence = split_event_id(receipts[-1].id)
        return [*receipts, Receipt(make_event_id(ms, sequence + _FAR_AHEAD))]


class Twice(_Wrapper):
    """Delivers an event twice."""

    def _change(self, page: Page) -> Page:
        if not page.events or not self._strikes():
            return page
        return attrs.evolve(page, events=[*page.events, page.events[-1]])


class WrongOrder(_Wrapper):
    """Delivers two events in the wrong order."""

    def _change(self, page: Page) -> Page:
        if len(page.events) < 2 or not self._strikes():
            return page
        events: list[Event] = list(page.events)
        events[-2:] = events[:-3:-1]
        return attrs.evolve(page, events=events)


class SkipOnResume(_Wrapper):
    """Leaves out an event when a client reads the log."""

    async def read(self, selectors: Selectors, after: EventId, *, max_events: int, max_bytes: int) -> Page:
        page = await super().read(selectors, after, max_events=max_events, max_bytes=max_bytes)
        return attrs.evolve(page, events=page.events[1:]) if page.events and self._strikes() else page


class ForgetLater(_Wrapper):
    """Delivers an event and does not have it later, as a log that delivers before it commits."""

    def __init__(self, log: Log, rate: int) -> None:
        super().__init__(log, rate)
        self._forgotten: set[EventId] = set()

    async def tail(self, after: EventId, **options: Any) -> Page:
        page = await super().tail(after, **options)
        if page.events and self._strikes():
            self._forgotten.add(page.events[-1].id)
        return page

    async def read(self, selectors: Selectors, after: EventId, *, max_events: int, max_bytes: int) -> Page:
        page = await super().read(selectors, after, max_events=max_events, max_bytes=max_bytes)
        return attrs.evolve(page, events=[event for event in page.events if event.id not in self._forgotten])


class HideGap(_Wrapper):
    """Loses events without a gap."""

    def _change(self, page: Page) -> Page:
        return attrs.evolve(page, gap=None)


class FalseGap(_Wrapper):
    """Reports a gap where nothing was lost."""

    async def read(self, selectors: Selectors, after: EventId, *, max_events: int, max_bytes: int) -> Page:
        page = await super().read(selectors, after, max_events=max_events, max_bytes=max_bytes)
        if page.gap is None and page.cursor > after and self._strikes():
            return attrs.evolve(page, gap=page.cursor)
        return page


class ForgetKeys(_Wrapper):
    """Forgets idempotency keys."""

    async def append(self, drafts: Sequence[Draft], *more: Any, publisher: str = "") -> Any:
        if not publisher:
            drafts = [draft.with_key(None) for draft in drafts]
        return await super().append(drafts, *more, publisher=publisher)


def _with_data(event: Event, data: str) -> Event:
    return Event(
        event.id, event.topics, event.type, data, event.encoding, event.retry_ms, private=event.private
    )


class OtherContent(_Wrapper):
    """Changes the content of an event."""

    def _change(self, page: Page) -> Page:
        if not page.events or not self._strikes():
            return page
        last = page.events[-1]
        data = last.data.replace("é", "e").replace('"padding":""', '"padding":"x"')
        return attrs.evolve(page, events=[*page.events[:-1], _with_data(last, data)])


FAULTY: Final[dict[str, Callable[[Log, int], Any]]] = {
    "early-ack": EarlyAck,
    "drop": DropOne,
    "twice": Twice,
    "order": WrongOrder,
    "skip": SkipOnResume,
    "forget": ForgetLater,
    "hide-gap": HideGap,
    "false-gap": FalseGap,
    "forget-keys": ForgetKeys,
    "content": OtherContent,
    **FAULTY_REDIS,
}
"""The faults by name."""
