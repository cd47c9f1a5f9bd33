"""The C programs of the benchmark, compiled on first use.

``load`` is the clients, ``floor`` a minimal server. Both need Linux (epoll); the comments at their top
describe their usage.
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
# Parts of the compiler's messages about missing files, and the Debian packages that contain these.
_PACKAGES = {"openssl/": "libssl-dev", "-lssl": "libssl-dev", "-lcrypto": "libssl-dev", ".h:": "libc6-dev"}


def build(name: str) -> Path:
    """Compile ``bench/native/<name>.c`` if it has changed; return the path of the program.

    Raises:
        Missing: there is no C compiler, or OpenSSL's headers are not installed.
        RuntimeError: the source has an error; with the compiler's message.
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
    # Concurrent builds are harmless: each writes its own file, and the last one is kept.
    with tempfile.TemporaryDirectory(dir=_BUILT) as folder:
        made = Path(folder, name)
        command = [compiler, *_FLAGS, "-o", str(made), *map(str, sources), *_LIBRARIES]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=_environment())
        if done.returncode:
            raise _failure(name, done.stderr)
        made.replace(program)
    return program


def _environment() -> dict[str, str]:
    return {**os.environ, "LC_ALL": "C"}  # the compiler's messages are parsed


def _failure(name: str, message: str) -> Exception:
    for line in message.splitlines():
        if "No such file or directory" not in line and "cannot find" not in line:
            continue
        for part, package in _PACKAGES.items():
            if part in line:
                return Missing(f"{name} needs the Debian package {package}: {line.strip()}")
    return RuntimeError(f"{name} cannot be compiled:\n{message}")
