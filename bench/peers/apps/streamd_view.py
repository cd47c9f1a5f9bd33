"""An application with its own streaming view, on streamd's server."""

import signal
from functools import partial

import trio

from streamd import EventStream
from streamd.app import create_app, running
from streamd.server import raise_open_files, serve, tune_collector
from streamd.settings import load_settings


async def main() -> None:
    """Serve until SIGTERM."""
    settings = load_settings()
    app = create_app(settings)

    @app.get("/view")
    async def view() -> EventStream:
        return EventStream("bench")

    with trio.open_signal_receiver(signal.SIGTERM) as signals:
        async with running(app) as streamd, trio.open_nursery() as nursery:
            wait = partial(anext, signals)
            addresses = await nursery.start(
                partial(serve, app, settings.server, wait_for_shutdown=wait, drain=streamd.drain)
            )
            tune_collector(settings.server)
            print(f"listening on {addresses[0]}", flush=True)


if __name__ == "__main__":
    raise_open_files()
    trio.run(main)
