"""Plugins and Hypothesis settings of all tests."""

import os
import sys

from hypothesis import settings

pytest_plugins = [
    "tests.support.log_state",
    "tests.support.resolver",
    "tests.support.skips",
    "tests.support.store_urls",
    "streamd.testing",
]

# Examples have no deadline, because a shared machine is slow at times; pytest-timeout ends a test that hangs.
# The blob reproduces a failure on another machine.
settings.register_profile("streamd", deadline=None, print_blob=True)
settings.load_profile("streamd")

# Tests start hundreds of processes. Without byte code each compiles all of streamd, a third of its start.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
