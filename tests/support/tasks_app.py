"""An application for ``streamd serve --app`` with a task kind of its own."""

import trio
from quart_trio import QuartTrio

from streamd import create_app
from streamd.http.current import EXTENSION
from streamd.settings import Settings
from streamd.tasks import Kind, Progress

COUNTING = "counting"


async def count(progress: Progress) -> int:
    """Count up to the input, one version per number, with pauses so that the task can be followed."""
    for number in range(progress.input):
        await progress.update(progress=100 * number / progress.input, message=str(number), text=f"{number} ")
        await trio.sleep(0.001)
    return int(progress.input)


def make(settings: Settings) -> QuartTrio:
    """Make the application."""
    app = create_app(settings)
    app.extensions[EXTENSION].tasks.register(Kind(name=COUNTING, work=count))
    return app
