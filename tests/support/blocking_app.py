"""An application with a view that blocks the event loop: ``--app tests.support.blocking_app:make``."""

import time
from typing import Final

from quart_trio import QuartTrio

from streamd import create_app
from streamd.settings import Settings

BLOCKED_SECONDS: Final = 0.5


def block() -> None:
    """Let nothing else run for a while, as a call to a slow disk does."""
    time.sleep(BLOCKED_SECONDS)


def make(settings: Settings) -> QuartTrio:
    """Make the application."""
    app = create_app(settings)

    @app.get("/block")
    async def view() -> str:
        block()
        return "done"

    return app
