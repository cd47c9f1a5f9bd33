"""The inside of a worker process: its limits, and the computations that it runs.

A worker process ends with the server. An idle one reads the end of its pipe; for one that computes, a thread
waits for the end of the server. ``PR_SET_PDEATHSIG`` would not do: its signal comes when the *thread* ends
that started the process.
"""

import os
import pickle
import resource
import signal
import threading
import traceback
from collections.abc import Callable
from multiprocessing import current_process, parent_process
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, Final

from ..errors import StreamdError
from ..steps import Steps, run_at_once

TIME_IS_UP: Final = signal.SIGPROF
"""The signal that ends a process whose computation has taken its computing time."""

_STATM: Final = Path("/proc/self/statm")


def check_main() -> None:
    """Refuse to start a server in a worker process.

    Raises:
        RuntimeError: this process imports the program's main module, which would start a server here.
    """
    if getattr(current_process(), "_inheriting", False):  # as multiprocessing itself tells
        raise RuntimeError(
            "a worker process imports the main module of the program: start the server below "
            '`if __name__ == "__main__"` only'
        )


def begin(max_memory_bytes: int) -> None:
    """Set up a worker process: its memory limit, the signals that it ignores, its end with the server."""
    # Signals to the process group are for the server, which ends this process when it needs it no more.
    for ignored in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    threading.stack_size(262_144)  # of the 8 MB of a thread that does nothing, none is left to texts
    threading.Thread(target=_end_with_server, name="end-with-server", daemon=True).start()
    try:
        resource.setrlimit(resource.RLIMIT_AS, (max_memory_bytes, max_memory_bytes))
    except (OSError, ValueError):  # macOS has no such limit
        pass


def compute(
    max_cpu_seconds: float, computation: Callable[..., Steps[Any]], arguments: tuple[Any, ...]
) -> bytes:
    """Run a computation to its end, within a computing time (s), and return its outcome, see :func:`unpack`.

    The kernel ends the process at the limit, whatever it does then: a pattern that is matched holds the
    interpreter. It counts computing time, so that a machine with other work to do rejects nothing.

    An error comes without its traceback, whose frames would refer to it again in the server: then the texts
    of those frames would stay in memory until the garbage collector runs.
    """
    signal.setitimer(signal.ITIMER_PROF, max_cpu_seconds)
    try:
        outcome = run_at_once(computation(*arguments)), None
        return pickle.dumps(outcome, pickle.HIGHEST_PROTOCOL)
    except Exception as error:  # noqa: BLE001 - it is raised in the server
        if not isinstance(error, StreamdError):
            error.add_note(traceback.format_exc())
        return pickle.dumps((None, error), pickle.HIGHEST_PROTOCOL)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def unpack(outcome: bytes) -> tuple[Any, Exception | None]:
    """Return the result of a computation, or its error."""
    unpacked: tuple[Any, Exception | None] = pickle.loads(outcome)  # noqa: S301 - of our own process
    return unpacked


def is_large(max_memory_bytes: int) -> bool:
    """Return True if this process has come near its memory limit, so that a new one has to follow it."""
    try:
        pages = int(_STATM.read_text().split()[0])
    except OSError:  # only Linux has it
        return False
    return pages * resource.getpagesize() > max_memory_bytes // 2


def _end_with_server() -> None:
    server = parent_process()
    assert server is not None
    wait([server.sentinel])
    os.kill(os.getpid(), signal.SIGKILL)
