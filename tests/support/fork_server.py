"""A process that starts commands of streamd by forking.

Importing streamd and its services takes a second, forking some milliseconds. Run with
``python -m tests.support.fork_server``; :mod:`tests.support.forked` is its client. Standard input is a Unix
socket that keeps messages apart. Each message orders one command, with four file descriptors: a socket for
answers, and the command's standard streams. The answers are the process id and, when it has ended, the exit
status, a line each. At the end of the socket the server ends, and its commands are killed with it.
"""

import ctypes
import gc
import json
import os
import resource
import select
import signal
import socket
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final

import attrs

from streamd.cli import main

MODULE: Final = "tests.support.fork_server"
MAX_ORDER_BYTES: Final = 1_000_000
FDS: Final = 4
# Imported on first use by the command line and the application; here once for all commands.
_SERVICES: Final = ("brand_monitor", "purchase_orders", "research", "sentiment", "strategy")
PRELOADED: Final = (
    "streamd.app",
    "streamd.startup",
    *(f"streamd.services.{name}.service" for name in _SERVICES),
    *(f"streamd.cli.{name}" for name in ("serve", "publish", "subscribe", "tasks", "config", "log")),
)
_PR_SET_PDEATHSIG: Final = 1


@attrs.frozen
class ForkOrder:
    """A command to start.

    Attributes:
        arguments: of ``streamd``.
        variables: its whole environment.
        folder: its working directory.
        max_files: its limits of open files, soft and hard.
    """

    arguments: list[str]
    variables: dict[str, str]
    folder: str
    max_files: Sequence[int]


class ForkServer:
    """The commands that run, and the sockets for their exit statuses."""

    def __init__(self) -> None:
        self._control = socket.socket(fileno=0)
        self._answers: dict[int, socket.socket] = {}
        self._ends, self._wake = os.pipe()
        os.set_blocking(self._ends, False)
        os.set_blocking(self._wake, False)

    def run(self) -> list[str] | None:
        """Start commands until the socket ends. In a forked process, return the arguments of its command."""
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        while True:
            ready, _, _ = select.select([self._control.fileno(), self._ends], [], [])
            if self._ends in ready:
                os.read(self._ends, 4096)
                self._report_ends()
            if self._control.fileno() in ready:
                message, fds, _, _ = socket.recv_fds(self._control, MAX_ORDER_BYTES, FDS)
                if not message:
                    self._control.close()
                    return None
                order = ForkOrder(**json.loads(message))
                if (pid := os.fork()) == 0:
                    self._become(order, fds)
                    return order.arguments
                answers, *streams = fds
                for fd in streams:
                    os.close(fd)
                self._answers[pid] = socket.socket(fileno=answers)
                self._say(pid, pid)

    def _say(self, pid: int, number: int) -> None:
        try:
            self._answers[pid].sendall(f"{number}\n".encode())
        except OSError:
            pass  # nobody waits for it any more

    def _report_ends(self) -> None:
        while self._answers:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            self._say(pid, os.waitstatus_to_exitcode(status))
            self._answers.pop(pid).close()

    def _become(self, order: ForkOrder, fds: list[int]) -> None:
        """Turn this process, which was just forked, into one that has started with the order."""
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        # As in the foreground: a shell lets programs in the background ignore it, and with them this server.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for answers in self._answers.values():
            answers.close()
        self._control.detach()  # fd 0, which is replaced
        for fd in (self._ends, self._wake, fds[0]):
            os.close(fd)
        for number, fd in enumerate(fds[1:]):
            os.dup2(fd, number)
            os.close(fd)
        os.environ.clear()
        os.environ.update(order.variables)
        os.chdir(order.folder)
        soft, hard = order.max_files
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        # New objects, because those of the fork server know whether its own streams are terminals.
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115


if __name__ == "__main__":
    for name in PRELOADED:
        import_module(name)
    gc.collect()
    gc.freeze()
    arguments = ForkServer().run()
    if arguments is not None:
        sys.argv = ["streamd", *arguments]
        main(arguments, prog_name="streamd")
