"""The server under attack: streamd's own application, with the meter of steps that only the harness has."""

import os
from pathlib import Path

import trio
from quart_trio import QuartTrio

from streamd import create_app
from streamd.settings import Settings
from tests.hostile.steps import FILE_VARIABLE, StepMeter


def make(settings: Settings) -> QuartTrio:
    """Make the application; ``streamd serve --app tests.hostile.app:make``."""
    app = create_app(settings)
    meter = StepMeter(Path(os.environ[FILE_VARIABLE]))

    @app.before_serving
    async def measure() -> None:
        trio.lowlevel.add_instrument(meter)

    return app
