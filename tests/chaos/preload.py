"""Control of a server's wall clock and of its disk, by a library that it is started with."""

import ctypes
import mmap
import shutil
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_SOURCE: Final = Path(__file__).with_name("preload.c")
_CONTROL: Final = struct.Struct("qqq")  # struct control of the source
_NO_LIMIT: Final = -1


class Preload:
    """The library, and the memory that it shares with this process. Make one with :func:`preloading`.

    Attributes:
        variables: the environment variables to start a process with.
    """

    def __init__(self, library: Path, control: Path, memory: mmap.mmap) -> None:
        self.variables: Final = {"LD_PRELOAD": str(library), "CHAOS_CONTROL": str(control)}
        self._fields = (ctypes.c_int64 * 3).from_buffer(memory)
        self.give_room()

    @property
    def offset_ms(self) -> int:
        """The difference of the server's wall clock to that of this machine."""
        return self._fields[0] // 1_000_000

    def set_clock(self, offset_ms: int) -> None:
        self._fields[0] = offset_ms * 1_000_000

    def fill_disk(self, after_bytes: int) -> None:
        """Let writes to files fail with ENOSPC after some bytes."""
        self._fields[2] = 0
        self._fields[1] = after_bytes

    def give_room(self) -> None:
        """Let all writes succeed."""
        self._fields[1] = _NO_LIMIT

    @property
    def refused_writes(self) -> int:
        """Number of writes that failed since the disk was filled."""
        return self._fields[2]

    def close(self) -> None:
        del self._fields


@contextmanager
def preloading(folder: Path) -> Iterator[Preload | None]:
    """Compile the library into a folder; yield None on a machine without gcc."""
    if shutil.which("gcc") is None:
        yield None
        return
    library, control = folder / "preload.so", folder / "preload.control"
    command = ["gcc", "-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o", str(library), str(_SOURCE)]
    subprocess.run(command, check=True)
    control.write_bytes(bytes(_CONTROL.size))
    with control.open("r+b") as file, mmap.mmap(file.fileno(), _CONTROL.size) as memory:
        preload = Preload(library, control, memory)
        try:
            yield preload
        finally:
            preload.close()


def wall_clock_ms(preload: Preload | None) -> int:
    """Return the time of a server's wall clock (ms)."""
    return time.time_ns() // 1_000_000 + (preload.offset_ms if preload is not None else 0)
