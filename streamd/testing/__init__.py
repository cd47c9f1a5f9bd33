"""Test support for programs that use streamd: a running server, and a reader of event streams.

For the fixture ``streamd_server`` put ``pytest_plugins = ["streamd.testing"]`` into ``conftest.py``; it needs
pytest-trio. :func:`run_server` and :func:`open_stream` need nothing but trio.
"""

from .fixtures import streamd_server
from .reader import StreamReader, StreamRefused, open_stream
from .server import RunningServer, run_server

__all__ = [
    "RunningServer",
    "StreamReader",
    "StreamRefused",
    "open_stream",
    "run_server",
    "streamd_server",
]
