"""The figures of the event loop under attack: the longest step of a trio task, and the longest pass.

The server writes them into a file that both processes map into memory, so that nothing is asked of a loop
that may be held. Times are CPU time of the loop's thread, because elapsed time says more about a busy machine
than about the server. Reading that clock takes about as long as a step, so only the harness does it.
"""

import mmap
import struct
import time
from pathlib import Path
from typing import Final

import attrs
import trio

_SIZE: Final = 4096
_NAME_BYTES: Final = 120
_EPOCH: Final = struct.Struct("<Q")
_LONGEST: Final = struct.Struct(f"<Qd{_NAME_BYTES}s")  # epoch, seconds, name of the trio task
_STEP_AT: Final = 64
_PASS_AT: Final = 512
FILE_VARIABLE: Final = "HOSTILE_FIGURES"
"""The environment variable that names the file."""


class StepMeter(trio.abc.Instrument):
    """Measures each step and each pass of the loop in CPU time, and writes the longest to the file."""

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), _SIZE)
        self._epoch = 0
        self._longest_step = self._longest_pass = 0.0
        self._pass_began = self._step_began = 0.0
        self._in_pass = (0.0, "")  # the longest step of this pass

    def after_io_wait(self, timeout: float) -> None:
        """Begin a pass, and the measurement anew if the harness has asked for it."""
        (epoch,) = _EPOCH.unpack_from(self._map, 0)
        if epoch != self._epoch:
            self._epoch = epoch
            self._longest_step = self._longest_pass = 0.0
        self._in_pass = (0.0, "")
        self._pass_began = self._step_began = time.thread_time()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """End a step. The next one begins at the same time, or the wait for I/O."""
        now = time.thread_time()
        seconds = now - self._step_began
        self._step_began = now
        if seconds > self._in_pass[0]:
            self._in_pass = (seconds, task.name)
            if seconds > self._longest_step:
                self._longest_step = seconds
                self._write(_STEP_AT, seconds, task.name)

    def before_io_wait(self, timeout: float) -> None:
        """End a pass."""
        seconds = time.thread_time() - self._pass_began
        if self._pass_began and seconds > self._longest_pass:
            self._longest_pass = seconds
            self._write(_PASS_AT, seconds, self._in_pass[1])

    def _write(self, at: int, seconds: float, name: str) -> None:
        _LONGEST.pack_into(self._map, at, self._epoch, seconds, name.encode()[:_NAME_BYTES])


@attrs.frozen
class Longest:
    """The longest step or pass: CPU time of the loop's thread (s), and the name of the trio task."""

    seconds: float = 0.0
    task: str = ""


class StepFigures:
    """The harness's side of the file, which it makes.

    Args:
        path: of the file; one that is there is replaced.
    """

    def __init__(self, path: Path) -> None:
        path.write_bytes(bytes(_SIZE))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), _SIZE)
        self._epoch = 0

    def begin(self) -> None:
        """Measure anew from the next pass on."""
        self._epoch += 1
        _EPOCH.pack_into(self._map, 0, self._epoch)

    @property
    def step(self) -> Longest:
        """The longest step since :meth:`begin`."""
        return self._read(_STEP_AT)

    @property
    def loop_pass(self) -> Longest:
        """The longest pass since :meth:`begin`, with the trio task that took most of it."""
        return self._read(_PASS_AT)

    def _read(self, at: int) -> Longest:
        epoch, seconds, name = _LONGEST.unpack_from(self._map, at)
        return (
            Longest(seconds, name.rstrip(b"\0").decode(errors="replace"))
            if epoch == self._epoch
            else Longest()
        )
