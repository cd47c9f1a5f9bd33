"""The limit of connections, and patterns that separate merchants."""

import pytest
import trio

from streamd.connections.settings import ConnectionSettings
from streamd.settings import Settings
from streamd.testing import StreamRefused, open_stream, run_server

LIMIT = 3


async def test_the_limit_rejects_one_more_and_a_slot_is_free_once_a_client_leaves() -> None:
    settings = Settings(connections=ConnectionSettings(max_connections=LIMIT, retry_after_seconds=7))
    async with run_server(settings) as server, trio.open_nursery() as nursery:

        async def hold(task_status: trio.TaskStatus[trio.CancelScope]) -> None:
            with trio.CancelScope() as scope:
                async with open_stream(server.url, topics=["a"]) as reader:
                    await reader.next_control("connected")
                    task_status.started(scope)
                    await trio.sleep_forever()

        scopes = [await nursery.start(hold) for _ in range(LIMIT)]
        with pytest.raises(StreamRefused) as refused:
            async with open_stream(server.url, topics=["a"]):
                pass
        assert refused.value.status == 503
        assert refused.value.headers["retry-after"] == "7"
        assert b'"code":"too-many-connections"' in refused.value.body
        assert server.streamd.connections.statistics()["active"] == LIMIT

        scopes[0].cancel()
        with trio.fail_after(10):
            while server.streamd.connections.statistics()["active"] == LIMIT:
                await trio.lowlevel.checkpoint()  # until the server has noticed the close
        async with open_stream(server.url, topics=["a"]) as reader:
            await reader.next_control("connected")
        nursery.cancel_scope.cancel()


async def test_a_merchants_pattern_never_matches_another_merchant() -> None:
    async with run_server() as server:
        publish = server.streamd.publish
        async with open_stream(server.url, patterns=["merchant:acme:*"]) as reader:
            await reader.next_control("connected")
            for topic in (
                "merchant:other:stage",
                "merchant:acme",
                "merchant:acme2:stage",
                "merchant:acme:stage:deep",
                "merchant:acme/x:stage",
                "xmerchant:acme:stage",
                "merchant:*:stage",
                "merchant:acme:",
            ):
                await publish(topic, "not for acme")
            await publish(["merchant:other:stage", "merchant:acme:stage"], "for both")
            await publish("merchant:acme:progress", "for acme")
            assert [event.data for event in await reader.take(2)] == ["for both", "for acme"]
