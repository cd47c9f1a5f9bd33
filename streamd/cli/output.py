"""Write to standard output: whole batches, without a buffer, and without delaying a signal."""

import os
import select
import stat
import sys
from collections.abc import Callable
from functools import partial
from math import inf
from typing import Final

import trio

HURRY_SECONDS: Final = 0.5  # the maximum time of a write after a signal


class CommandOutput:
    """A file descriptor that is written in a thread, since a reader such as ``less`` may block it.

    Nothing is buffered: the reader can read the data when :meth:`write` returns.

    Args:
        fd: the file descriptor; it stays open.
    """

    def __init__(self, fd: int = 1) -> None:
        self._fd = fd
        self._writing = trio.CancelScope()
        self._deadline = inf

    async def write(self, data: bytes, done: Callable[[], None]) -> None:
        """Write all of ``data``, then call ``done``; a write that is cut short calls nothing.

        Cancelling waits for the end of the write, so that written data is also counted. :meth:`hurry` bounds
        that wait.

        Raises:
            BrokenPipeError: the reader has closed the pipe.
        """
        with trio.CancelScope(shield=True, deadline=self._deadline) as self._writing:
            if data:
                await trio.to_thread.run_sync(partial(_write_all, self._fd, data), abandon_on_cancel=True)
            done()
        await trio.lowlevel.checkpoint_if_cancelled()

    def hurry(self) -> None:
        """Limit the current write, and all later ones together, to half a second."""
        self._deadline = min(self._deadline, trio.current_time() + HURRY_SECONDS)
        self._writing.deadline = self._deadline

    async def reader_gone(self) -> None:
        """Wait until the reader of a pipe has closed it; for ever on anything else.

        A pipe's writing end becomes readable when its reader is gone (POLLERR). So ``| head -1`` ends the
        command at once, and not with the next event.
        """
        if stat.S_ISFIFO(os.fstat(self._fd).st_mode) and sys.platform == "linux":
            while True:
                await trio.lowlevel.wait_readable(self._fd)
                if _has_error(self._fd):
                    return
        await trio.sleep_forever()


def _has_error(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, 0)
    return any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0))


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
