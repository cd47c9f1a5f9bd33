"""The C programs of the benchmark, compiled when they are first needed.

``load`` is the clients, ``floor`` the least a server can do. Both need Linux (epoll); their first lines
say how they are used.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from ..missing import Missing

_HERE = Path(__file__).parent
_BUILT = _HERE.parent.parent / ".bench"
_SOURCES = {
    "load": ["load.c", "connection.c", "http1.c", "http2.c", "websocket.c", "tally.c"],
    "floor": ["floor.c"],
}
_FLAGS = ["-O2", "-Wall", "-Wextra"]
_LIBRARIES = ["-lssl", "-lcrypto"]
# What the compiler says when something is not there, and the Debian package that brings it.
_PACKAGES = {"openssl/": "libssl-dev", "-lssl": "libssl-dev", "-lcrypto": "libssl-dev", ".h:": "libc6-dev"}


def build(name: str) -> Path:
    """Compile ``bench/native/<name>.c``, unless that has been done since it changed; where it is.

    Raises:
        Missing: there is no C compiler, or OpenSSL's headers are not installed.
        RuntimeError: the compiler refused; its message is in it.
    """
    program = _BUILT / name
    sources = [_HERE / source for source in _SOURCES[name]]
    inputs = [*sources, *_HERE.glob("*.h"), Path(__file__)]
    newest = max(path.stat().st_mtime for path in inputs)
    if program.exists() and program.stat().st_mtime > newest:
        return program
    compiler = shutil.which("cc")
    if compiler is None:
        raise Missing(f"{name} needs a C compiler: install the Debian packages gcc and libc6-dev")
    _BUILT.mkdir(exist_ok=True)
    # Two builds at once do no harm: each writes a file of its own, and the last one is kept.
    with tempfile.TemporaryDirectory(dir=_BUILT) as folder:
        made = Path(folder, name)
        command = [compiler, *_FLAGS, "-o", str(made), *map(str, sources), *_LIBRARIES]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=_environment())
        if done.returncode:
            raise _failure(name, done.stderr)
        made.replace(program)
    return program


def _environment() -> dict[str, str]:
    return {**os.environ, "LC_ALL": "C"}  # the compiler's messages are looked at


def _failure(name: str, message: str) -> Exception:
    for line in message.splitlines():
        if "No such file or directory" not in line and "cannot find" not in line:
            continue
        for part, package in _PACKAGES.items():
            if part in line:
                return Missing(f"{name} needs the Debian package {package}: {line.strip()}")
    return RuntimeError(f"{name} cannot be compiled:\n{message}")
