"""The monitor of the event loop: how long its passes take, and what ran in a slow one.

A pass is the time between two waits for I/O. Until it ends, the loop accepts, reads and delivers nothing
else, so a client that causes long passes holds up all others::

    after_io_wait ── trio tasks run ── before_io_wait ── wait for I/O ── after_io_wait ...
         │ began                           │ seconds
         └───────── the watch looks here: a sample of the stack

The loop only reads the clock twice a pass. A thread, the *watch*, looks at the loop at half the time that
makes a pass slow, and samples the loop's stack when it finds the pass that it has seen before. It sleeps
while the loop does. A C function that holds the interpreter's lock stops the watch too; such a pass has no
sample.
"""

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Final, NoReturn

import structlog
import trio

from ..metrics import Metrics
from .settings import ServerSettings

_LINE_SECONDS: Final = 1.0  # least time between two lines: a flood of slow passes is no flood of lines
_LOOKS_PER_PASS: Final = 2  # so that each slow pass is seen twice
_LOOK_SECONDS_MIN: Final = 0.005
_NEVER: Final = float("inf")
_FRAMES_MAX: Final = 25  # innermost frames of a stack in a line
_LOOP_FUNCTION: Final = "unrolled_run"  # of trio: below it are the frames of the trio task alone
_STOP_SECONDS: Final = 5.0

_log = structlog.get_logger(__name__)


class LoopMonitor(trio.abc.Instrument):
    """Measures each pass of the event loop, and writes a warning about slow ones.

    The warning ``slow_pass`` has the duration (``seconds``), the number of slow passes since the last such
    line (``others``), and the stack that was sampled most often in the pass (``ran``), outermost frame first.

    Args:
        metrics: has the histogram of passes.
        settings: ``slow_pass_ms`` is the duration from which a pass is slow.
        clock: a monotonic clock, which never returns 0 (s).
    """

    def __init__(
        self, metrics: Metrics, settings: ServerSettings, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._observe: Final = metrics.loop_pass_seconds.observe
        self._clock: Final = clock
        self._began = 0.0  # of the running pass; 0: the loop waits for I/O
        self._is_parked = False  # the watch sleeps until the next pass
        self._woken = threading.Event()
        self._ended = False
        self._samples: Counter[tuple[str, ...]] = Counter()  # stacks of the running pass
        self._line_from = 0.0  # time of the next line, at the earliest
        self._others = 0
        self.apply_settings(settings)

    def apply_settings(self, settings: ServerSettings) -> None:
        """Apply ``slow_pass_ms``, which may change while the loop runs."""
        self._slow_seconds = settings.slow_pass_ms / 1000 or _NEVER
        self._wake_watch()

    async def run(self) -> NoReturn:
        """Monitor the loop that runs this until cancelled."""
        watch = threading.Thread(
            target=self._watch, args=[threading.get_ident()], name="loop-monitor", daemon=True
        )
        watch.start()
        trio.lowlevel.add_instrument(self)
        try:
            await trio.sleep_forever()
        finally:
            trio.lowlevel.remove_instrument(self)
            self._ended = True
            self._wake_watch()
            watch.join(_STOP_SECONDS)

    # --- in the loop's thread, each pass

    def after_io_wait(self, timeout: float) -> None:
        """Begin a pass."""
        self._began = self._clock()
        if self._is_parked:
            self._wake_watch()

    def before_io_wait(self, timeout: float) -> None:
        """End a pass."""
        if not self._began:  # the monitor was started in it
            return
        seconds = self._clock() - self._began
        self._began = 0.0
        self._observe(seconds, 1)
        if seconds >= self._slow_seconds:
            self._report(seconds)
        elif self._samples:
            self._samples.clear()

    def _report(self, seconds: float) -> None:
        samples, self._samples = self._samples, Counter()
        now = self._clock()
        if now < self._line_from:
            self._others += 1
            return
        self._line_from = now + _LINE_SECONDS
        others, self._others = self._others, 0
        stack = samples.most_common(1)[0][0] if samples else ()
        _log.warning("slow_pass", seconds=round(seconds, 3), others=others, ran=list(stack))

    def _wake_watch(self) -> None:
        self._is_parked = False
        self._woken.set()

    # --- in the watch's thread

    def _watch(self, loop_thread: int) -> None:
        seen = 0.0  # the beginning of the pass that ran at the last look
        while not self._ended:
            began = self._began
            if began and began == seen:
                self._samples[_sample(loop_thread)] += 1
            self._woken.wait(self._next_look(is_idle=not began and not seen))
            self._woken.clear()
            seen = began

    def _next_look(self, *, is_idle: bool) -> float | None:
        """Return the time until the next look (s); None: until the watch is woken, as a pass begins."""
        if self._slow_seconds == _NEVER:
            return None
        if is_idle:
            self._is_parked = True
            if not self._began:  # a pass that has begun since does not wake the watch
                return None
            self._is_parked = False
        return max(_LOOK_SECONDS_MIN, self._slow_seconds / _LOOKS_PER_PASS)


def _sample(thread: int) -> tuple[str, ...]:
    """Name the innermost functions of a thread's stack, each with module and line: no variables, no source.

    No frame is kept: it would keep all variables of the function, such as a connection.
    """
    names: list[str] = []
    frame = sys._current_frames().get(thread)
    while frame is not None and frame.f_code.co_name != _LOOP_FUNCTION and len(names) < _FRAMES_MAX:
        module = frame.f_globals.get("__name__", "?")
        names.append(f"{module}:{frame.f_lineno} {frame.f_code.co_qualname}")
        frame = frame.f_back
    return tuple(reversed(names))
