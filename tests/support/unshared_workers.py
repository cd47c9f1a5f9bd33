"""The command `streamd`, whose `serve --workers` does not insist on a log that the processes share.

Run with ``python -m tests.support.unshared_workers``. Each process has a log in memory of its own.
"""

from typing import Final

import pytest

from streamd import startup
from streamd.cli import main

MODULE: Final = "tests.support.unshared_workers"

if __name__ == "__main__":
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(startup, "check_shared_log", lambda *_: iter(()))
        main(prog_name="streamd")
