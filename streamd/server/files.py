"""The limit of open files, which limits connections."""

import resource
from typing import Final

from ..errors import ConfigError

SPARE_FILES: Final = 64  # listeners, the log, standard streams, publishers between two requests


def raise_open_files() -> int:
    """Raise the soft limit of open files to the hard one, and return the new soft limit (files)."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (ValueError, OSError):  # a hard limit the kernel does not grant in full
        pass
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft


def check_open_files(max_connections: int, open_files: int) -> None:
    """Reject a maximum number of connections that the limit of open files does not allow.

    Raises:
        ConfigError: names the setting and the largest value that is possible.
    """
    if open_files != resource.RLIM_INFINITY and max_connections + SPARE_FILES > open_files:
        raise ConfigError(
            f"connections.max_connections is {max_connections}, but this process may open {open_files} files:"
            f" set it to {max(open_files - SPARE_FILES, 0)} or less, or raise the hard limit (ulimit -Hn)",
            field="connections.max_connections",
        )
