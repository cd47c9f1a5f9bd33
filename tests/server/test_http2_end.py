"""The ends of HTTP/2 streams: while their window is closed, and where the application fails."""

from collections.abc import AsyncIterator
from typing import Any

import attrs
import pytest
import trio
import trio.testing
from h2.errors import ErrorCodes
from hyperframe.frame import WindowUpdateFrame
from quart import Response

from streamd import create_app
from streamd.settings import Settings
from streamd.testing import run_server
from tests.support.http2_app import answer, connected_to, head
from tests.support.http2_client import ManualHTTP2Client

_DEFAULTS = Settings()
SETTINGS = attrs.evolve(
    _DEFAULTS,
    connections=attrs.evolve(
        _DEFAULTS.connections, unhealthy_seconds=0.2, stale_seconds=0.4, sweep_seconds=0.05
    ),
)


@pytest.mark.parametrize("how", ["close", "abort"])
async def test_an_ended_stream_releases_its_slot_and_the_others_go_on(how: str) -> None:
    with trio.fail_after(30):
        async with run_server(SETTINGS) as server:
            tcp = await trio.open_tcp_stream(server.host, server.port)
            async with tcp:
                client = ManualHTTP2Client(tcp)
                stalled = await client.get("/events?topic=big&client_id=stalled")
                other = await client.get("/events?topic=small&client_id=other")
                client.replenished.add(other)
                for stream in (stalled, other):
                    while b"event: connected" not in client.received.get(stream, b""):
                        await client.read()
                for _ in range(10):  # much more than the window
                    await server.streamd.publish("big", "x" * 30_000)
                await trio.testing.wait_all_tasks_blocked()
                connection = server.streamd.connections.find("stalled")
                if how == "close":
                    connection.close("closed")
                else:
                    connection.abort()
                while stalled not in client.reset:
                    await client.read()
                while server.streamd.connections.statistics()["active"] != 1:
                    await trio.testing.wait_all_tasks_blocked()
                await server.streamd.publish("small", "still here")
                while b"data: still here\n" not in client.received[other]:
                    await client.read()


async def test_a_response_whose_view_fails_is_reset() -> None:
    app = create_app(SETTINGS)

    @app.get("/half")
    async def half() -> Response:
        async def parts() -> AsyncIterator[bytes]:
            yield b"half"
            raise LookupError("on purpose")

        return Response(parts())

    with trio.fail_after(30):
        async with run_server(SETTINGS, app=app) as server:
            tcp = await trio.open_tcp_stream(server.host, server.port)
            async with tcp:
                client = ManualHTTP2Client(tcp)
                failed = await client.get("/half")
                while failed not in client.reset:
                    assert failed not in client.ended
                    await client.read()
                other = await client.get("/health/live")
                while other not in client.ended:
                    await client.read()


@pytest.mark.parametrize("body_bytes", [0, 4, 100_000], ids=["head only", "fits", "beyond the window"])
@pytest.mark.parametrize("raises", [True, False], ids=["raises", "returns"])
async def test_an_unfinished_response_is_reset_behind_what_its_window_allows(
    body_bytes: int, raises: bool
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/whole":
            await answer(send, b"whole")
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        async with trio.open_nursery() as nursery:
            if body_bytes:
                message = {"type": "http.response.body", "body": b"x" * body_bytes, "more_body": True}
                nursery.start_soon(send, message)
                await trio.testing.wait_all_tasks_blocked()
                nursery.cancel_scope.cancel()
        if raises:
            raise LookupError("on purpose")

    async with connected_to(app) as client:
        for failed, whole in ((1, 3), (5, 7)):
            await client.ask(failed, head(b"/half"))
            await client.read_until_over(failed)
            assert client.resets[failed] == ErrorCodes.INTERNAL_ERROR
            assert failed not in client.ended
            assert len(client.bodies.get(failed, b"")) == min(body_bytes, 65_535)
            await client.send(WindowUpdateFrame(0, 100_000))
            await client.ask(whole, head(b"/whole"))
            await client.read_until_over(whole)
            assert client.bodies[whole] == b"whole"
