"""The demo source: real events from the machine that streamd runs on.

::

    host.py      HostSampler: CPU, memory, disk and network figures (psutil)
    follow.py    FileFollower, follow_lines: a file line by line, as ``tail -F`` does
    runner.py    run_demo: publishes both, restarts a source that fails, ends only when cancelled
    settings.py  DemoSettings

May import ``streamd.config``, ``streamd.errors`` and ``streamd.outbound``, psutil, trio and structlog.
"""

from .follow import FileFollower, LineSplitter, follow_lines
from .host import HostSampler
from .runner import PublishEvent, run_demo
from .settings import DemoSettings

__all__ = [
    "DemoSettings",
    "FileFollower",
    "HostSampler",
    "LineSplitter",
    "PublishEvent",
    "follow_lines",
    "run_demo",
]
