"""Publish the demo's sources until cancelled."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import PurePath
from typing import Any, NoReturn, Protocol

import structlog
import trio

from ..errors import RequestError, Unavailable
from .follow import POLL_SECONDS, FileFollower
from .host import HostSampler
from .settings import DemoSettings

FIGURES_TYPE = "metrics"
LINE_TYPE = "line"

FIRST_RETRY_SECONDS = 0.5
LAST_RETRY_SECONDS = 30.0
"""Waits double between the two: soon enough after a hiccup, quiet when a thing stays broken."""

Sample = Callable[[], Awaitable[dict[str, Any]]]

log = structlog.get_logger(__name__)


class Publish(Protocol):
    """Publish one event; raises what ``streamd.errors`` says about it."""

    async def __call__(self, topic: str, data: Any, *, type: str) -> object: ...


async def run_demo(
    publish: Publish,
    settings: DemoSettings,
    *,
    sample: Sample | None = None,
    poll_seconds: float = POLL_SECONDS,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> NoReturn:
    """Publish this machine's figures and the lines of the followed files, as ``settings`` says.

    A source that fails is logged and started again, each time after a longer wait; the others go on. When
    publishing is unavailable, figures are dropped and counted, and lines are kept until they are taken.
    Reports started when every file has been looked at: lines written from then on are published.

    Args:
        publish: where the events go.
        settings: the ``demo`` section.
        sample: takes the figures; by default :class:`HostSampler`, in a thread.
        poll_seconds: time between two looks at a followed file.

    Cancelling ends it between two events; a line that was being published may or may not have been.
    """
    followers = [FileFollower(path, poll_seconds=poll_seconds) for path in settings.follow]
    try:
        async with trio.open_nursery() as nursery:
            if settings.enabled:
                figures = FiguresSource(publish, settings, sample or _sampler_in_thread())
                nursery.start_soon(_keep_running, settings.topic, figures.run)
            for follower in followers:
                await _first_look(follower)
                lines = LinesSource(publish, topic_of(settings, follower), follower)
                nursery.start_soon(_keep_running, str(follower.path), lines.run)
            task_status.started()
            await trio.sleep_forever()
    finally:
        for follower in followers:
            follower.close()
    raise AssertionError("only cancellation or an error ends the nursery")


def topic_of(settings: DemoSettings, follower: FileFollower) -> str:
    """The topic of a followed file: ``{name}`` stands for the name of the file, without its folder."""
    return settings.follow_topic.replace("{name}", PurePath(follower.path).name)


class FiguresSource:
    """Publishes a sample every ``interval_seconds``; what cannot be published is dropped and counted."""

    def __init__(self, publish: Publish, settings: DemoSettings, sample: Sample) -> None:
        self._publish = publish
        self._settings = settings
        self._sample = sample
        self._dropped = Tally("demo_figures_dropped", topic=settings.topic)

    async def run(self) -> NoReturn:
        due = trio.current_time()
        while True:
            figures = await self._sample()
            try:
                await self._publish(self._settings.topic, figures, type=FIGURES_TYPE)
            except Unavailable as error:
                self._dropped.add(error.code)
            else:
                self._dropped.settle()
            # By the clock, not by adding up sleeps; samples that are overdue are left out, not made up for.
            due = max(due + self._settings.interval_seconds, trio.current_time())
            await trio.sleep_until(due)


class LinesSource:
    """Publishes each line of one file, in order."""

    def __init__(self, publish: Publish, topic: str, follower: FileFollower) -> None:
        self._publish = publish
        self._topic = topic
        self._follower = follower
        self._pending: list[str] = []  # survives a failure: the next run begins with it
        self._refused = Tally("demo_lines_refused", topic=topic)

    async def run(self) -> NoReturn:
        while True:
            while self._pending:
                await self._publish_line(self._pending[0])
                del self._pending[0]
            self._pending = await anext(self._follower)

    async def _publish_line(self, line: str) -> None:
        waits = Backoff()
        while True:
            try:
                await self._publish(self._topic, line, type=LINE_TYPE)
            except Unavailable as error:
                await trio.sleep(max(waits.next_seconds(), error.retry_after_seconds or 0.0))
            except RequestError as error:
                # Too large, or a topic that is none: trying again would hold up the lines behind it for ever.
                self._refused.add(error.code)
                return
            else:
                self._refused.settle()
                return


class Tally:
    """Counts one kind of mishap; logs the first of a row at once and the sum when the row ends."""

    def __init__(self, event: str, **fields: str) -> None:
        self._event = event
        self._ended = f"{event}_ended"
        self._fields = fields
        self.count = 0  # of the present row

    def add(self, code: str) -> None:
        self.count += 1
        if self.count == 1:
            log.warning(self._event, code=code, **self._fields)

    def settle(self) -> None:
        if self.count:
            log.info(self._ended, count=self.count, **self._fields)
        self.count = 0


class Backoff:
    """Waits that double."""

    def __init__(self) -> None:
        self._seconds = FIRST_RETRY_SECONDS

    def next_seconds(self) -> float:
        seconds = self._seconds
        self._seconds = min(2 * seconds, LAST_RETRY_SECONDS)
        return seconds


async def _keep_running(name: str, run: Callable[[], Awaitable[NoReturn]]) -> NoReturn:
    """Run a source again whenever it fails; it lets nothing but cancellation through."""
    waits = Backoff()
    while True:
        started = trio.current_time()
        try:
            await run()
        except Exception:
            if trio.current_time() - started > 2 * LAST_RETRY_SECONDS:
                waits = Backoff()  # it was well for a while: this is a new trouble
            seconds = waits.next_seconds()
            log.exception("demo_source_failed", source=name, retry_seconds=seconds)
            await trio.sleep(seconds)


async def _first_look(follower: FileFollower) -> None:
    with suppress(OSError):  # the source meets it again, logs it and retries
        await trio.to_thread.run_sync(follower.poll)


def _sampler_in_thread() -> Sample:
    sampler = HostSampler()

    async def sample() -> dict[str, Any]:
        # Reading /proc blocks, on a loaded machine for longer than a fan-out may wait.
        return await trio.to_thread.run_sync(sampler.sample)

    return sample
