"""What a benchmark needs and this machine does not have."""


class Missing(Exception):
    """Something outside Python is not installed; the message names the Debian package that brings it."""
