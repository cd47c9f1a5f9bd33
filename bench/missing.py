"""The error of a missing dependency."""


class Missing(Exception):
    """A program or library is not installed; the message names the package to install."""
