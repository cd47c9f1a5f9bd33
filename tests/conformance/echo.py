"""An application for ``streamd serve --app`` that returns each WebSocket message to its sender."""

from quart import websocket
from quart_trio import QuartTrio

from streamd import Streamd
from streamd.settings import Settings


def make(settings: Settings) -> QuartTrio:
    """Make the application, whose only route is ``/echo``."""
    app = QuartTrio(__name__)
    Streamd(app, settings=settings)

    @app.websocket("/echo")
    async def echo() -> None:
        while True:
            await websocket.send(await websocket.receive())

    return app
