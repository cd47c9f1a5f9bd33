"""The peer sse-starlette, on uvicorn, in its own virtual environment."""

import subprocess
from pathlib import Path
from typing import ClassVar, Final

from ..missing import Missing
from .base import BACKLOG, HOST, MADE, Ability, Peer, Setup, Workspace

PACKAGES: Final = ("sse-starlette==3.7.0", "starlette", "uvicorn[standard]")
ENVIRONMENT: Final = MADE / "sse-starlette"


class SSEStarlette(Peer):
    """`apps/sse_starlette_app.py`: a queue for each client; uvicorn with uvloop and httptools.

    Args:
        logs_requests: write a line for each request to standard output.
    """

    about = "sse-starlette on uvicorn (uvloop, httptools), a queue a client"
    abilities: ClassVar = frozenset({Ability.TLS})

    def __init__(self, *, logs_requests: bool = False) -> None:
        self.name = "sse-starlette-logged" if logs_requests else "sse-starlette"
        self._logs_requests = logs_requests

    def version(self) -> str:
        code = (
            "from importlib.metadata import version\n"
            "for name in ('sse-starlette', 'starlette', 'uvicorn', 'uvloop', 'httptools'):\n"
            "    print(name, version(name))"
        )
        done = subprocess.run(
            [_python(), "-c", code], capture_output=True, text=True, timeout=30, check=False
        )
        if done.returncode:
            raise Missing(f"{ENVIRONMENT} is incomplete: run `python -m bench install`")
        return ", ".join(done.stdout.splitlines())

    def command(self, setup: Setup, workspace: Workspace) -> list[str]:
        command = [_python(), "-m", "uvicorn", "--host", HOST, "--port", str(workspace.port)]
        command += ["--backlog", str(BACKLOG)]
        if not self._logs_requests:
            command += ["--no-access-log", "--log-level", "warning"]
        if workspace.certificate is not None:
            command += ["--ssl-certfile", str(workspace.certificate.chain)]
            command += ["--ssl-keyfile", str(workspace.certificate.key)]
        return [*command, "sse_starlette_app:app"]


def _python() -> str:
    python: Path = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        raise Missing("sse-starlette is not installed: run `python -m bench install`")
    return str(python)
