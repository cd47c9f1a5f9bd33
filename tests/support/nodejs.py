"""Node.js with the packages of the browser client, as ``conf/setup/node.sh`` installs them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

CLIENT: Final = Path(__file__).parents[2] / "streamd/web/client"
DIST: Final = CLIENT / "dist"


def run_node(*arguments: str | Path, folder: Path = CLIENT, program: str = "node") -> str:
    """Run Node, or ``npm``, in a folder; return its standard output.

    Raises:
        AssertionError: it is not installed, or ends with another status than 0.
    """
    # Where the machine's Node is too old, conf/setup/node.sh has put one beside Python.
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    executable = shutil.which(program, path=path)
    assert executable is not None, "Node.js is missing; conf/setup/node.sh installs it"
    assert (CLIENT / "node_modules").exists(), "packages are missing; conf/setup/node.sh installs them"
    done = subprocess.run(
        [executable, *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
