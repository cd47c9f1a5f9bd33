"""The demo source: publishes this machine's figures and the lines of files, until it is cancelled."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import PurePath
from typing import Any, Final, NoReturn, Protocol

import structlog
import trio

from ..errors import RequestError, StreamdError, Unavailable
from ..outbound import Backoff, RetryLoop, RetryPolicy
from .follow import POLL_SECONDS, FileFollower
from .host import HostSampler
from .settings import DemoSettings

FIGURES_TYPE: Final = "metrics"
LINE_TYPE: Final = "line"

# Short enough after a hiccup, and quiet when a source or the server stays broken. No jitter: there is one
# demo source a server, and it talks to its own process.
BACKOFF: Final = Backoff(initial_seconds=0.5, max_seconds=30.0, jitter=0.0)

Sample = Callable[[], Awaitable[dict[str, Any]]]

log = structlog.get_logger(__name__)


class PublishEvent(Protocol):
    """Publishes one event. Raises an error of ``streamd.errors`` if the event is not published."""

    async def __call__(self, topic: str, data: Any, *, type: str) -> object: ...


async def run_demo(
    publish: PublishEvent,
    settings: DemoSettings,
    *,
    sample: Sample | None = None,
    poll_seconds: float = POLL_SECONDS,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> NoReturn:
    """Publish this machine's figures and the lines of the followed files.

    A source that fails is logged and restarted with exponential backoff; the others go on. While publishing
    is unavailable, figures are dropped and counted, and lines are kept. Reports started after the first look
    at every file: lines written from then on are published.

    Args:
        publish: publishes one event.
        settings: the ``demo`` section.
        sample: returns the figures; :class:`HostSampler` in a thread by default.
        poll_seconds: the interval between two looks at a followed file (s).

    Cancelling ends it between two events. A line in the middle of its publishing may or may not be published.
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
    """Return the topic of a followed file; ``{name}`` is the file's name without its folder."""
    return settings.follow_topic.replace("{name}", PurePath(follower.path).name)


class FiguresSource:
    """Publishes a sample every ``interval_seconds``; drops and counts samples that cannot be published."""

    def __init__(self, publish: PublishEvent, settings: DemoSettings, sample: Sample) -> None:
        self._publish = publish
        self._settings = settings
        self._sample = sample
        self._dropped = FailureStreak("demo_figures_dropped", topic=settings.topic)

    async def run(self) -> NoReturn:
        due = trio.current_time()
        while True:
            figures = await self._sample()
            try:
                await self._publish(self._settings.topic, figures, type=FIGURES_TYPE)
            except Unavailable as error:
                self._dropped.add(error.code)
            else:
                self._dropped.end()
            # The time of the next sample is counted from the last one's, so that delays do not add up.
            # Overdue samples are skipped.
            due = max(due + self._settings.interval_seconds, trio.current_time())
            await trio.sleep_until(due)


class LinesSource:
    """Publishes each line of one file, in order."""

    def __init__(self, publish: PublishEvent, topic: str, follower: FileFollower) -> None:
        self._publish = publish
        self._topic = topic
        self._follower = follower
        self._pending: list[str] = []  # survives a failure: the next run begins with these
        self._rejected = FailureStreak("demo_lines_rejected", topic=topic)

    async def run(self) -> NoReturn:
        while True:
            while self._pending:
                await self._publish_line(self._pending[0])
                del self._pending[0]
            self._pending = await anext(self._follower)

    async def _publish_line(self, line: str) -> None:
        async def attempt() -> None:
            await self._publish(self._topic, line, type=LINE_TYPE)

        try:
            await RetryLoop(policy=RetryPolicy(backoff=BACKOFF), retry_on=_is_unavailable).run(attempt)
        except RequestError as error:
            # The line is too large or the topic invalid. A retry would block the lines behind it for ever.
            self._rejected.add(error.code)
        else:
            self._rejected.end()


class FailureStreak:
    """Counts consecutive failures of one sort. Logs the first of a streak at once, and the count at its end.

    Args:
        event: the name of the log event; the end is logged as ``{event}_ended``.
        fields: further fields of both log events.
    """

    def __init__(self, event: str, **fields: str) -> None:
        self.count = 0  # in the current streak
        self._event = event
        self._end_event = f"{event}_ended"
        self._fields = fields

    def add(self, code: str) -> None:
        """Count a failure with an error's code."""
        self.count += 1
        if self.count == 1:
            log.warning(self._event, code=code, **self._fields)

    def end(self) -> None:
        """Note a success."""
        if self.count:
            log.info(self._end_event, count=self.count, **self._fields)
        self.count = 0


def _is_unavailable(error: StreamdError) -> bool:
    return isinstance(error, Unavailable)


async def _keep_running(name: str, run: Callable[[], Awaitable[NoReturn]]) -> NoReturn:
    """Run a source, and restart it after each failure. Only a cancellation ends it."""
    failures = 0
    while True:
        started = trio.current_time()
        try:
            await run()
        except Exception:
            if trio.current_time() - started > 2 * BACKOFF.max_seconds:
                failures = 0  # it ran well for a while, so this is another trouble
            retry_seconds = BACKOFF.delay(failures)
            failures += 1
            log.exception("demo_source_failed", source=name, retry_seconds=retry_seconds)
            await trio.sleep(retry_seconds)


async def _first_look(follower: FileFollower) -> None:
    with suppress(OSError):  # the source gets the same error, logs it and retries
        await trio.to_thread.run_sync(follower.poll)


def _sampler_in_thread() -> Sample:
    sampler = HostSampler()

    async def sample() -> dict[str, Any]:
        # Reading /proc blocks; on a loaded machine for longer than the fan-out may be delayed.
        return await trio.to_thread.run_sync(sampler.sample)

    return sample
