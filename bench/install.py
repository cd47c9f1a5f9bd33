"""Installation of packages from pip and npm into `.bench/`, unless they are installed."""

import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from .browser import clients
from .missing import Missing
from .native import build
from .peers import better_sse, sse_starlette

_INSTALL_SECONDS: Final = 300
_STAMP: Final = "installed"


def install(say: Callable[[str], None]) -> list[str]:
    """Install and build everything; return the errors."""
    problems = []
    steps: tuple[tuple[str, Callable[[], None]], ...] = (
        ("the load program", lambda: _build("load")),
        ("the floor", lambda: _build("floor")),
        ("sse-starlette", lambda: _once(sse_starlette.ENVIRONMENT, sse_starlette.PACKAGES, _install_python)),
        ("better-sse", lambda: _once(better_sse.DIRECTORY, better_sse.PACKAGES, _install_node)),
        ("browser clients", lambda: _once(clients.DIRECTORY, clients.PACKAGES, _install_node)),
    )
    for name, step in steps:
        say(f"{name} …")
        try:
            step()
        except (Missing, OSError, subprocess.SubprocessError) as error:
            problems.append(f"{name}: {error}")
    return problems


def _build(name: str) -> None:
    build(name)


def _once(
    directory: Path, packages: tuple[str, ...], install_into: Callable[[Path, Iterable[str]], None]
) -> None:
    """Install into an empty directory, unless the same packages were completely installed there."""
    stamp, wanted = directory / _STAMP, "\n".join(packages)
    if stamp.exists() and stamp.read_text() == wanted:
        return
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    install_into(directory, packages)
    stamp.write_text(wanted)


def _install_python(directory: Path, packages: Iterable[str]) -> None:
    venv.create(directory, with_pip=True)
    python = str(directory / "bin" / "python")
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages]
    subprocess.run(command, check=True, timeout=_INSTALL_SECONDS, stdout=sys.stderr)


def _install_node(directory: Path, packages: Iterable[str]) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise Missing("npm is not installed: install the Debian packages nodejs and npm")
    command = [npm, "install", "--no-audit", "--no-fund", "--no-save", "--prefix", str(directory), *packages]
    subprocess.run(command, check=True, timeout=_INSTALL_SECONDS, stdout=sys.stderr)
