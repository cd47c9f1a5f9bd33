"""A server without keys says so, under its own server and under a foreign one."""

from typing import Any

import pytest
import trio
from structlog.testing import capture_logs

from streamd import Streamd, create_app
from streamd.settings import Settings
from tests.support.tokens import auth_settings


async def run_lifespan(app: Any) -> list[str]:
    """Start and stop an application as a foreign ASGI server does; return the messages that it sends."""
    sent: list[str] = []
    to_app = iter(["lifespan.startup", "lifespan.shutdown"])

    async def receive() -> dict[str, Any]:
        await trio.lowlevel.checkpoint()
        return {"type": next(to_app)}

    async def send(message: dict[str, Any]) -> None:
        await trio.lowlevel.checkpoint()
        sent.append(message["type"])

    await app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, receive, send)
    return sent


@pytest.mark.parametrize("has_keys", [False, True])
async def test_a_foreign_server_without_keys_is_warned_of(has_keys: bool) -> None:
    app = create_app(Settings(auth=auth_settings()) if has_keys else Settings())
    with capture_logs() as logs:
        assert await run_lifespan(app) == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    found = [line["log_level"] for line in logs if line["event"] == "server_is_open"]
    assert found == ([] if has_keys else ["warning"])


async def test_a_program_without_the_api_is_not_warned() -> None:
    from quart_trio import QuartTrio

    app = QuartTrio("shop")
    Streamd(app)
    with capture_logs() as logs:
        await run_lifespan(app)
    assert [line for line in logs if line["event"] == "server_is_open"] == []
