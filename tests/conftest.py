"""Plugins and Hypothesis settings of all tests."""

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
