"""Client ids over HTTP: the resume secret replaces the own connection, on each transport."""

import httpx
import pytest
import trio

from streamd.settings import Settings
from streamd.testing import open_stream, run_server
from tests.support.plain import NO_SERVICES
from tests.support.receivers import RECEIVERS, receiving
from tests.support.waiting import until

SETTINGS = Settings(**NO_SERVICES)
on_each_transport = pytest.mark.parametrize("kind", RECEIVERS)


@on_each_transport
async def test_a_stranger_with_the_client_id_leaves_the_owner_connected(kind: str) -> None:
    async with run_server(SETTINGS) as server:
        async with receiving(server, kind, client_id="me") as (_, owner):
            for secret in ("", "guessed", owner.id, f"{owner.id}.{'0' * 64}"):
                async with receiving(server, kind, client_id="me", resume_secret=secret) as (_, stranger):
                    assert owner.is_open
                    assert stranger.is_open
                    assert server.streamd.connections.find(owner.id) is owner


@on_each_transport
async def test_the_secret_replaces_the_connection_of_any_transport(kind: str) -> None:
    async with run_server(SETTINGS) as server:
        async with receiving(server, "WebSocket", client_id="me") as (first, before):
            secret = await first.secret()
            assert secret is not None
            async with receiving(server, kind, client_id="me", resume_secret=secret) as (second, after):
                assert await first.closing() == {"reason": "replaced", "retry": 86_400_000}
                assert not before.is_open
                assert after.is_open
                after.close("closed")
                assert await second.secret() == secret


@on_each_transport
async def test_clients_without_a_client_id_have_no_secret(kind: str) -> None:
    async with run_server(SETTINGS) as server:
        async with receiving(server, kind) as (receiver, connection):
            connection.close("closed")
            assert await receiver.secret() is None


async def test_the_header_takes_precedence_over_the_query() -> None:
    async with run_server(SETTINGS) as server:
        async with open_stream(server.url, topics=["a"], client_id="me") as first:
            connected = await first.next_control("connected")
            headers = {"Resume-Secret": str(connected["resume_secret"])}
            path = "/events?topic=a&client_id=me&resume_secret=wrong"
            async with open_stream(server.url, path=path, headers=headers):
                assert (await first.next_control("closing"))["reason"] == "replaced"


async def test_a_poll_that_is_repeated_replaces_the_one_that_hangs() -> None:
    query = {"topic": "a", "client_id": "me", "wait": "30"}
    async with run_server(SETTINGS) as server, httpx.AsyncClient(base_url=server.url, timeout=30) as http:
        first = (await http.get("/events/poll", params={**query, "wait": "0"})).json()
        secret = first["resume_secret"]
        query["resume_secret"] = secret
        answers: list[dict[str, object]] = []

        async def poll() -> None:
            answers.append((await http.get("/events/poll", params=query)).json())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(poll)
            await until(lambda: server.streamd.connections.statistics()["active"] == 1)
            async with receiving(server, "HTTP/1.1", client_id="me", resume_secret=secret) as (_, connection):
                await until(lambda: bool(answers))
                assert connection.is_open
        [answer] = answers
        assert answer["control"] == [{"control": "closing", "reason": "replaced", "retry": 86_400_000}]
        assert answer["resume_secret"] == secret
        assert answer["next"] == first["next"]


async def test_no_list_shows_a_secret() -> None:
    async with run_server(SETTINGS) as server, httpx.AsyncClient(base_url=server.url) as http:
        async with open_stream(server.url, topics=["a"], client_id="me") as reader:
            secret = str((await reader.next_control("connected"))["resume_secret"])
            mac = secret.partition(".")[2]
            for path in ("/connections", "/connections/me", "/metrics"):
                assert mac not in (await http.get(path)).text
