"""Computations for worker processes, which import this module."""

import os
import re
import signal
import sys
import threading
import time
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from streamd.errors import InvalidField
from streamd.steps import Steps

_kept: Final[list[bytes]] = []


def process_id() -> Steps[int]:
    yield
    return os.getpid()


def write_process_id(path: str) -> Steps[None]:
    yield
    Path(path).write_text(str(os.getpid()))


def modules_with(name: str) -> Steps[set[str]]:
    """Import a module, and return the names of all that are imported then."""
    import_module(name)
    yield
    return set(sys.modules)


def refuse(detail: str) -> Steps[None]:
    yield
    try:
        raise ValueError
    except ValueError as error:
        raise InvalidField(detail, field="line 3") from error


class Text(str):
    """A text that can be referred to weakly."""

    __slots__ = ("__weakref__",)


def refuse_text(text: str) -> Steps[None]:
    yield
    raise InvalidField(f"{len(text)} characters are too many", field="body")


def spin(path: str = "") -> Steps[None]:
    """Compute for ever, in steps."""
    if path:
        yield from write_process_id(path)
    while True:
        yield


def match_for_ever(path: str = "") -> Steps[None]:
    """Compute for ever in one call that never gives the interpreter away."""
    if path:
        yield from write_process_id(path)
    re.match(r"(a|a)*b", "a" * 64)
    yield


def wait_for_ever(path: str) -> Steps[None]:
    """Wait, without computing, for ever."""
    yield from write_process_id(path)
    while True:
        time.sleep(3600)


def allocate(number: int) -> Steps[None]:
    yield
    bytearray(number)


def keep(number: int) -> Steps[int]:
    """Allocate memory (bytes) and keep it."""
    yield
    _kept.append(bytes(number))
    return os.getpid()


def die() -> Steps[None]:
    yield
    os.kill(os.getpid(), signal.SIGKILL)


def die_at_first(path: str) -> Steps[str]:
    """Kill the process, unless that was done before."""
    yield
    if not Path(path).exists():
        Path(path).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "alive"


def fail() -> Steps[None]:
    yield
    raise ZeroDivisionError("a fault")


class UnpicklingThread:
    """An object that is unpickled to the identifier of the thread that does it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return threading.get_ident, ()


def unpickling_thread(size: int) -> Steps[tuple[bytes, Any]]:
    """Return a number of bytes, and the thread in which they are unpickled."""
    yield
    return bytes(size), UnpicklingThread()
