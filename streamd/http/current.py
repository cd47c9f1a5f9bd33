"""The runtime of the application that handles the current request."""

from typing import Final

from quart import current_app

from ..runtime import Runtime

EXTENSION: Final = "streamd"
"""The key of the :class:`~streamd.Streamd` in ``app.extensions``."""


def current_runtime() -> Runtime:
    """Return the runtime of the application that handles the current request.

    Raises:
        RuntimeError: the application has no streamd; ``Streamd(app)`` gives it one.
    """
    try:
        return current_app.extensions[EXTENSION].runtime  # type: ignore[no-any-return]
    except KeyError:
        raise RuntimeError("this application has no streamd: call Streamd(app) first") from None
