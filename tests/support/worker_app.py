"""An application for ``streamd serve --app`` that tells which process answers."""

import os
from pathlib import Path
from typing import Final

from quart import request
from quart_trio import QuartTrio

from streamd import create_app
from streamd.errors import ConfigError
from streamd.settings import Settings

STARTS: Final = "TEST_STARTS_FILE"
"""The variable that names a file with a byte for each application that :func:`make_once` has made."""


def make(settings: Settings) -> QuartTrio:
    """Make the application."""
    app = create_app(settings)

    @app.get("/pid")
    async def pid() -> str:
        return str(os.getpid())

    @app.post("/pid")
    async def pid_after_body() -> str:
        await request.get_data()
        return str(os.getpid())

    return app


def make_once(settings: Settings) -> QuartTrio:
    """Make the application in the first process that asks, the supervisor.

    Raises:
        ConfigError: in all others.
    """
    file = Path(os.environ[STARTS])
    with file.open("a") as starts:
        starts.write(".")
    if file.stat().st_size > 1:
        raise ConfigError("no second process can be started")
    return make(settings)


def end_at_once(settings: Settings) -> QuartTrio:
    """Make the application in the supervisor, and end every other process without a message."""
    file = Path(os.environ[STARTS])
    with file.open("a") as starts:
        starts.write(".")
    if file.stat().st_size > 1:
        raise SystemExit(0)
    return make(settings)
