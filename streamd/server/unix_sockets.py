"""Listening Unix sockets: creation, a file that an earlier server left behind, and removal.

A server that was killed leaves the file of its socket behind. It is replaced only if it is a socket on which
nobody listens. Two servers that start at once take turns at that, by a lock on the folder (flock(2)).
"""

import errno
import fcntl
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class UnixListener(socket.socket):
    """A listening socket whose file is removed when it is closed, unless another has taken its place.

    The processes of ``--workers`` inherit the socket, and not the duty to remove its file.
    """

    _path = ""
    _inode: tuple[int, int] | None = None

    def close(self) -> None:
        """Remove the file, and close the socket."""
        if self._inode is not None:
            with suppress(OSError):
                if _inode_of(self._path) == self._inode:
                    Path(self._path).unlink()
            self._inode = None
        super().close()

    def own(self, path: str) -> None:
        """Remove the file of a path when the socket is closed."""
        self._path, self._inode = path, _inode_of(path)


def open_unix_listener(path: str, mode: int, backlog: int) -> UnixListener:
    """Listen on a path.

    Args:
        path: absolute.
        mode: permissions of the file; to connect takes the permission to write.
        backlog: maximum number of connections that wait to be accepted.

    Raises:
        OSError: the path cannot be listened on. EADDRINUSE: another server listens on it, or starts to;
            ENOTSOCK: there is a file that is no socket.
    """
    with _lock(Path(path).parent):
        _remove_stale(path)
        sock = UnixListener(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.bind(path)
            sock.own(path)
            Path(path).chmod(mode)  # before listen(2): until then nobody can connect
            sock.listen(backlog)
        except BaseException:
            sock.close()
            raise
    return sock


def check_unix_path(path: str) -> None:
    """Check whether a path can be listened on, without creating anything. One that is in use passes.

    Raises:
        OSError: it cannot.
    """
    folder = Path(path).parent
    if not stat.S_ISDIR(folder.stat().st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    with suppress(FileNotFoundError):
        _check_is_socket(path)
        return
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE)) from error
        yield
    finally:
        os.close(descriptor)


def _remove_stale(path: str) -> None:
    """Remove a socket on which nobody listens.

    Raises:
        OSError: somebody does, or it is no socket.
    """
    try:
        _check_is_socket(path)
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # a full backlog must not make this wait
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            Path(path).unlink()
            return
        except BlockingIOError:
            pass
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def _check_is_socket(path: str) -> None:
    if not stat.S_ISSOCK(Path(path).lstat().st_mode):
        raise OSError(errno.ENOTSOCK, "there is a file that is no socket")


def _inode_of(path: str) -> tuple[int, int]:
    found = Path(path).lstat()
    return found.st_dev, found.st_ino
