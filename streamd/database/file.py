"""The database's file: its lock, and the checks that it can be opened and has tables of known versions."""

import fcntl
import os
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import apsw
import attrs
import trio

from ..errors import ConfigError
from .settings import MEMORY

_RETRY_SECONDS: Final = 0.05  # between two attempts at the lock, for which no system call waits a while
_IN_USE: Final = "another process uses it; each streamd needs a file of its own"

_REASONS: Final[tuple[tuple[type[apsw.Error], str], ...]] = (
    (apsw.NotADBError, "it is no SQLite database"),
    (apsw.BusyError, _IN_USE),
    (apsw.CantOpenError, "it cannot be opened"),
    (apsw.ReadOnlyError, "it cannot be written to"),
    (apsw.FullError, "the disk is full"),
    (apsw.CorruptError, "it is damaged"),
)
"""The reasons for which a file cannot be opened, in place of SQLite's own texts."""


LOCK_SUFFIX: Final = "-lock"
"""The ending of the lock file's name; the file stays when the lock is released."""


@attrs.frozen
class DatabaseFile:
    """The file of a database.

    Args:
        path: of the file; :data:`MEMORY` for none.
        setting: the setting that names it, for errors.
    """

    path: str
    setting: str

    def check(self, migrations: Mapping[str, Sequence[str]]) -> None:
        """Check that it can be opened as the database, or created, without changing anything.

        A file in use by another process passes: that may be the server whose configuration is checked.

        Args:
            migrations: the known migrations of each component.

        Raises:
            ConfigError: the file cannot be read, written or created, it is no database, or a newer streamd
                made it.
        """
        if self.path == MEMORY:
            return
        file = Path(self.path)
        if not file.parent.is_dir():
            raise self.refused(f"there is no folder {file.parent}")
        if file.exists() and not file.is_file():
            raise self.refused("it is not a regular file")
        for each in (file.parent, file):
            if each.exists() and not os.access(each, os.R_OK | os.W_OK):
                raise self.refused(f"this process may not read and write {each}")
        if not file.exists() or not file.stat().st_size:
            return
        try:
            with closing(apsw.Connection(self.path, flags=apsw.SQLITE_OPEN_READWRITE)) as connection:
                tables = _tables(connection)
                for component, version in read_versions(connection).items():
                    scripts = migrations.get(component)
                    self.check_version(component, version, scripts)
                    if missing := _tables_after((scripts or ())[:version]) - tables:
                        raise self.refused(f"it lacks the table {min(missing)}")
        except apsw.BusyError:
            return
        except apsw.Error as error:
            raise self.unusable(error) from error

    def check_version(self, component: str, version: object, migrations: Sequence[str] | None) -> None:
        """Check that the known migrations lead on from a version.

        Args:
            component: the owner of the tables.
            version: the number of migrations that its tables have had.
            migrations: the known ones; None for an unknown component, whose tables are left alone.

        Raises:
            ConfigError: the version is not a number, or a newer streamd made the tables.
        """
        if not isinstance(version, int) or version < 0:
            raise self.refused(f"the version of the tables of {component} is unreadable: {version!r}")
        if migrations is not None and version > len(migrations):
            raise self.refused(
                f"the tables of {component} are of version {version}, made by a newer streamd; this one knows"
                f" versions up to {len(migrations)}"
            )

    def unusable(self, error: apsw.Error) -> ConfigError:
        """Build the error for a file that SQLite cannot open or read."""
        return self.refused(next((text for kind, text in _REASONS if isinstance(error, kind)), str(error)))

    def refused(self, reason: str) -> ConfigError:
        """Build the error for a file that cannot be used."""
        return ConfigError(f"{self.setting}: {self.path} cannot be used: {reason}", field=self.setting)


class FileLock:
    """The lock that keeps a second streamd from writing the file. Readers do not need it.

    It is on a file of its own: closing any descriptor of the database's file would release SQLite's locks.
    That file is found through links, so that every name of the database has the same lock.

    Args:
        file: the database's file.
    """

    def __init__(self, file: DatabaseFile) -> None:
        self._file = file
        self._name = os.path.realpath(file.path) + LOCK_SUFFIX
        self._descriptor = -1

    async def acquire(self, timeout_seconds: float) -> None:
        """Take the lock, or wait some time for another process to release it.

        Raises:
            ConfigError: another process keeps it, or its file cannot be written.
        """
        if self._file.path == MEMORY:
            return
        deadline = trio.current_time() + timeout_seconds
        try:
            # For reading, so that the lock file of another user does, such as of an import by root.
            self._descriptor = os.open(self._name, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
            while True:
                try:
                    fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    if trio.current_time() >= deadline:
                        raise self._file.refused(_IN_USE) from None
                    await trio.sleep(_RETRY_SECONDS)
                else:
                    return
        except OSError as error:
            self.release()
            raise self._file.refused(f"{self._name}: {error.strerror}") from error
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Let another process have the file; also the end of the process does."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def read_versions(connection: apsw.Connection) -> Mapping[str, Any]:
    """Return the version of each component's tables; none from a database without such tables."""
    if connection.table_exists(None, "migrations"):
        return dict(connection.execute("SELECT component, version FROM migrations"))
    return {}


def _tables(connection: apsw.Connection) -> set[str]:
    return {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}


def _tables_after(scripts: Sequence[str]) -> set[str]:
    """Return the tables that migrations leave in an empty database; none if they need other tables."""
    with closing(apsw.Connection(MEMORY)) as connection:
        try:
            for script in scripts:
                connection.execute(script)
        except apsw.SQLError:
            return set()
        return _tables(connection)
