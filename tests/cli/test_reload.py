"""A reload that fails changes nothing and ends nothing. Signals and files: see e2e/test_reload."""

import pytest
import structlog.testing
import trio

from streamd import create_app
from streamd.cli.reload import Reloader
from streamd.errors import ConfigError
from streamd.http.current import EXTENSION
from streamd.server import Certificates, LoopMonitor, SystemdNotifier
from streamd.settings import Settings


@pytest.mark.parametrize(
    ("error", "event"),
    [
        (ConfigError("no", field="log.url"), "reload_refused"),
        (OSError("the disk failed"), "reload_failed"),
        (RecursionError(), "reload_failed"),
    ],
)
async def test_a_reload_that_fails_is_logged_and_the_next_one_runs(error: Exception, event: str) -> None:
    settings, calls = Settings(), 0
    again = trio.Event()

    def load() -> Settings:
        nonlocal calls
        calls += 1
        if calls == 2:
            trio.from_thread.run_sync(again.set)
        raise error

    streamd = create_app(settings).extensions[EXTENSION]
    monitor = LoopMonitor(streamd.metrics, settings.server)
    reloader = Reloader(
        load, settings, streamd, Certificates(settings.server), monitor, {}, SystemdNotifier()
    )
    with structlog.testing.capture_logs() as logs, trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(reloader.run)
            while not again.is_set():
                reloader.request()
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
    assert logs[0]["event"] == event
    assert logs[0]["log_level"] == "error"
    assert streamd.settings == settings
