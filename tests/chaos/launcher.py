"""A process that starts streamd by forking: importing streamd takes 1.5 s, forking 0.1 s.

Each line of standard input is a JSON object ``{"arguments": [...], "variables": {...}}``: the arguments of
``streamd``, and environment variables. Standard output gets the lines of the servers and, before them, the
line ``started PID``; and ``ended PID STATUS`` for each end. At the end of standard input, and with this
process, the server is killed.
"""

import ctypes
import gc
import json
import os
import signal
import sys
from importlib import import_module
from types import FrameType

from streamd.cli import main
from tests.support.fork_server import PRELOADED

_PR_SET_PDEATHSIG = 1


def _say(line: str) -> None:
    os.write(1, f"{line}\n".encode())


def _report_ends(number: int, frame: FrameType | None) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        _say(f"ended {pid} {os.waitstatus_to_exitcode(status)}")


def _serve(arguments: list[str], variables: dict[str, str]) -> None:
    """Turn this process, which was just forked, into a server."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.environ.update(variables)
    standard_input = os.open(os.devnull, os.O_RDONLY)
    os.dup2(standard_input, 0)
    _say(f"started {os.getpid()}")
    main(arguments)


def run() -> None:
    """Start servers until standard input ends."""
    for name in PRELOADED:  # imported on first use: here once for all servers
        import_module(name)
    signal.signal(signal.SIGCHLD, _report_ends)  # after the imports, of which some run programs
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            try:
                _serve(order["arguments"], order["variables"])
            finally:
                os._exit(1)


if __name__ == "__main__":
    run()
