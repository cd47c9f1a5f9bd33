"""Node.js, for the built files of the browser client."""

import shutil
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
DIST: Final = ROOT / "streamd/web/client/dist"


def node_command() -> str:
    """Return the path of Node: the one beside this Python, else the machine's, as ``conf/setup/node.sh``."""
    folder = str(Path(sys.executable).parent)
    found = shutil.which("node", path=folder) or shutil.which("node")
    assert found is not None, "Node.js is missing: run conf/setup/node.sh"
    return found
