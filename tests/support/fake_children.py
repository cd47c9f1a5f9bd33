"""Processes of a supervisor that start, get ready and end when a test says so."""

import signal
from collections import deque

import trio


class FakeChild:
    """A process that SIGKILL ends at once, and SIGTERM if it is told to; it ignores other signals."""

    def __init__(self, number: int, pid: int) -> None:
        self.number = number
        self.pid = pid
        self.started_at = trio.current_time()
        self.signals: list[signal.Signals] = []
        self.ends_on_sigterm = False
        self.is_closed = False
        self._is_ready = False
        self._status: int | None = None
        self._changed = trio.Event()

    def _change(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    def get_ready(self) -> None:
        self._is_ready = True
        self._change()

    def end(self, status: int = 0) -> None:
        self._status = status
        self._change()

    async def wait_ready(self) -> bool:
        while not self._is_ready and self._status is None:
            await self._changed.wait()
        return self._is_ready

    async def wait(self) -> int:
        while self._status is None:
            await self._changed.wait()
        return self._status

    def send_signal(self, number: signal.Signals) -> None:
        self.signals.append(number)
        if number == signal.SIGKILL:
            self.end(-number)
        elif number == signal.SIGTERM and self.ends_on_sigterm:
            self.end()

    def close(self) -> None:
        self.is_closed = True


class FakeChildren:
    """Starts fake processes."""

    def __init__(self) -> None:
        self.started: list[FakeChild] = []
        self.errors: deque[OSError] = deque()
        """Raised by the next starts."""
        self.may_start = trio.Event()
        """A start lasts until this is set."""
        self.may_start.set()

    async def start(self, number: int) -> FakeChild:
        await self.may_start.wait()
        if self.errors:
            raise self.errors.popleft()
        child = FakeChild(number, 1000 + len(self.started))
        self.started.append(child)
        return child

    @property
    def numbers(self) -> list[int]:
        """The numbers of all that were started, in ascending order."""
        return sorted(child.number for child in self.started)

    @property
    def newest(self) -> FakeChild:
        return self.started[-1]

    @property
    def by_number(self) -> list[FakeChild]:
        """All that were started, in the order of their numbers."""
        return sorted(self.started, key=lambda child: child.number)
