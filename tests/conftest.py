"""Fixtures and rules of all tests."""

from hypothesis import settings

pytest_plugins = ["tests.support.skips", "streamd.testing"]

# A shared machine is slow now and then, and a slow example is no wrong one; pytest-timeout ends what hangs.
# The blob lets a failure found elsewhere be replayed here.
settings.register_profile("streamd", deadline=None, print_blob=True)
settings.load_profile("streamd")
