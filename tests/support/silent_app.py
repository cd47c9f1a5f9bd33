"""An application for ``streamd serve --app`` that stores a resource and never answers its request."""

from typing import Final

import click
import trio
from quart import request
from quart.wrappers import Response
from quart_trio import QuartTrio

from streamd import create_app
from streamd.settings import Settings

SILENT: Final = "Test-Silent"
"""The header of requests that are not answered."""


def make(settings: Settings) -> QuartTrio:
    """Make the application. For each such request it prints the status of the answer that it withholds."""
    app = create_app(settings)

    async def withhold(response: Response) -> Response:
        if SILENT in request.headers:
            click.echo(response.status_code)
            await trio.sleep_forever()
        return response

    app.after_request(withhold)
    return app
