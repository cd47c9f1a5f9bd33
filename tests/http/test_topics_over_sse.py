"""``include=topics``: the topics of events over SSE, replayed and live, by every way to the socket."""

from collections.abc import Callable
from pathlib import Path

import pytest
import trio
from quart_trio import QuartTrio

from streamd import create_app
from streamd.server.settings import ServerSettings
from streamd.settings import Settings
from streamd.testing import run_server
from tests.support.wire_kinds import WIRES, WireKind, settings_for, subscribed

STREAMS = [wire for wire in WIRES if not wire.name.startswith("WebSocket")]


def without_hot_routes(settings: Settings) -> QuartTrio:
    """Build an application that serves streams through Quart, because it has a hook of its own."""
    app = create_app(settings)

    @app.before_request
    async def do_nothing() -> None:
        """Disable the hot routes."""

    return app


@pytest.mark.parametrize("wire", STREAMS, ids=lambda wire: wire.name)
@pytest.mark.parametrize("make_app", [create_app, without_hot_routes])
async def test_a_client_that_asks_for_topics_gets_them_with_each_event(
    make_app: Callable[[Settings], QuartTrio], wire: WireKind, tmp_path: Path
) -> None:
    settings = settings_for(wire, tmp_path, ServerSettings())
    with trio.fail_after(30):
        async with run_server(settings, app=make_app(settings)) as server:
            publish = server.streamd.publish
            first = await publish(["a", "all"], "kept", type="stage")
            async with (
                subscribed(server, wire, "a", last_event_id="earliest", include="topics") as asking,
                subscribed(server, wire, "a", last_event_id="earliest") as plain,
            ):
                await asking.read_until(lambda: len(asking.events) == 1)  # a page of the log
                second = await publish(["a"], "live")
                await asking.read_until(lambda: len(asking.events) == 2)
                await plain.read_until(lambda: len(plain.events) == 2)
                assert asking.events == [
                    f"event: stage\ntopic: a\ntopic: all\ndata: kept\nid: {first}\n\n".encode(),
                    f"topic: a\ndata: live\nid: {second}\n\n".encode(),
                ]
                assert plain.events == [
                    f"event: stage\ndata: kept\nid: {first}\n\n".encode(),
                    f"data: live\nid: {second}\n\n".encode(),
                ]
