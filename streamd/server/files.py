"""The limit of open files, which limits connections."""

import resource
from pathlib import Path
from typing import Final

from ..errors import ConfigError

SPARE_FILES: Final = 64  # listeners, the log, standard streams, publishers between two requests


def raise_open_files() -> int:
    """Raise the soft limit of open files to the hard one, and return the new soft limit (files)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # The kernel grants no more than its own maximum, also where the hard limit is higher, or unlimited.
    granted = [limit for limit in (hard, _kernel_maximum()) if limit != resource.RLIM_INFINITY]
    wanted = min(granted, default=soft)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
    except (ValueError, OSError):
        return soft
    return wanted


def _kernel_maximum() -> int:
    """Return the kernel's maximum number of open files of one process (proc(5), ``fs/nr_open``)."""
    try:
        return int(Path("/proc/sys/fs/nr_open").read_text())
    except (OSError, ValueError):
        return resource.RLIM_INFINITY


def check_open_files(max_connections: int, open_files: int) -> None:
    """Reject a maximum number of connections that the limit of open files does not allow.

    Raises:
        ConfigError: names the setting and the largest value that is possible.
    """
    needed = max_connections + SPARE_FILES
    if open_files == resource.RLIM_INFINITY or needed <= open_files:
        return
    possible = open_files - SPARE_FILES
    lower = f"set connections.max_connections to {possible} or less, or " if possible > 0 else ""
    raise ConfigError(
        f"connections.max_connections = {max_connections}: this process may open {open_files} files, and"
        f" needs {needed}; {lower}raise the hard limit of open files (ulimit -Hn) to {needed} or more",
        field="connections.max_connections",
    )
