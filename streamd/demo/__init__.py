"""The demo source: real input from the machine streamd runs on.

::

    host.py     HostSampler: CPU, memory, disk and network figures (psutil)
    follow.py   FileFollower, follow_lines: a file line by line, as ``tail -F`` does
    runner.py   run_demo: publishes both, retries what fails, ends only when cancelled

May import ``streamd.errors`` and ``streamd.config``, psutil, trio and structlog.
"""

from .follow import FileFollower, LineSplitter, follow_lines
from .host import HostSampler
from .runner import Publish, run_demo
from .settings import DemoSettings

__all__ = [
    "DemoSettings",
    "FileFollower",
    "HostSampler",
    "LineSplitter",
    "Publish",
    "follow_lines",
    "run_demo",
]
