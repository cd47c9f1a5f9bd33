"""The inputs with a client's cursor: the header, the parameter that polyfills add, and the route's own."""

from collections.abc import AsyncIterator
from urllib.parse import urlencode

import pytest
import trio
from quart_trio import QuartTrio
from trio_websocket import open_websocket_url

from streamd import EventStream, Streamd
from streamd.settings import Settings
from streamd.testing import RunningServer, StreamReader, StreamRefused, open_stream, run_server
from streamd.transports.generated import FINISHED_ID
from tests.support.api import Api, check_problem, serving_api
from tests.support.plain import NO_SERVICES

SECONDS = 20
OWN = "last_event_id"
ADDED = "lastEventId"


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    with trio.fail_after(SECONDS):
        async with serving_api(Settings(**NO_SERVICES)) as api:
            yield api


async def publish_five(server: RunningServer) -> list[str]:
    return [await server.streamd.publish("a", str(number)) for number in range(5)]


async def data_of(reader: StreamReader, count: int) -> list[str]:
    return [event.data for event in await reader.take(count)]


@pytest.mark.parametrize("path", ["/events", "/own"])
@pytest.mark.parametrize(
    ("header", "query", "expected"),
    [
        (None, [(ADDED, 2)], ["3", "4"]),
        (None, [(OWN, 0), (ADDED, 2)], ["3", "4"]),  # a URL that begins somewhere, and the reconnect's cursor
        (None, [(ADDED, 0), (ADDED, 2)], ["3", "4"]),
        (None, [(ADDED, 2), (ADDED, None)], ["3", "4"]),
        (None, [(ADDED, None), (OWN, 2)], ["3", "4"]),
        (3, [(ADDED, 0), (OWN, 1)], ["4"]),  # a browser under a polyfill reconnects by itself
    ],
)
async def test_the_newest_kind_of_cursor_decides(
    path: str, header: int | None, query: list[tuple[str, int | None]], expected: list[str]
) -> None:
    app = QuartTrio("own")
    streamd = Streamd(app)

    @app.get("/own")
    async def own() -> EventStream:
        return streamd.event_stream("a")

    own_app = app if path == "/own" else None
    with trio.fail_after(SECONDS):
        async with run_server(Settings(**NO_SERVICES) if own_app is None else None, app=own_app) as server:
            ids = await publish_five(server)
            pairs = [("topic", "a"), *((name, "" if at is None else ids[at]) for name, at in query)]
            target, sent = f"{path}?{urlencode(pairs)}", None if header is None else ids[header]
            async with open_stream(server.url, path=target, last_event_id=sent) as reader:
                assert await data_of(reader, len(expected)) == expected


async def test_a_websocket_and_a_poll_resume_by_it(api: Api) -> None:
    ids = await publish_five(api.server)
    answer = await api.http.get("/events/poll", params={"topic": "a", "wait": "0", ADDED: ids[2]})
    assert [event["data"] for event in answer.json()["events"]] == ["3", "4"]
    url = api.server.url.replace("http", "ws") + f"/events?topic=a&{ADDED}={ids[3]}"
    async with open_websocket_url(url) as socket:
        assert '"connected"' in await socket.get_message()
        assert '"data":"4"' in await socket.get_message()


async def test_an_invalid_one_is_named(api: Api) -> None:
    answer = await api.http.get("/events", params={"topic": "a", OWN: "earliest", ADDED: "x"})
    check_problem(answer, 400, "invalid-field", ADDED)


@pytest.mark.parametrize("name", [ADDED, OWN])
async def test_a_reconnect_after_the_end_of_a_task_gets_204(api: Api, name: str) -> None:
    await api.http.post("/tasks", json={"kind": "k", "id": "t"})
    await api.http.post("/tasks/t/cancel")
    async with open_stream(api.server.url, path="/tasks/t/events") as reader:
        while await reader.next_event() is not None:
            pass
        last = reader.last_event_id
    answer = await api.http.get("/tasks/t/events", params={name: last})
    assert (answer.status_code, answer.content) == (204, b"")


# --- generated streams ----------------------------------------------------------------------------


class Runs:
    """An application with one generator, which counts its runs."""

    def __init__(self, failure: Exception | None) -> None:
        self.count = 0
        self.app = QuartTrio("own")
        Streamd(self.app)

        async def items() -> AsyncIterator[str]:
            self.count += 1
            yield "one"
            if failure is not None:
                raise failure

        @self.app.get("/items")
        async def view() -> EventStream:
            return EventStream(items())


@pytest.mark.parametrize(
    "failure",
    [
        None,
        RuntimeError("raised by the test"),
        OSError("raised by the test"),
        trio.BrokenResourceError("raised by the test"),
        trio.ClosedResourceError("raised by the test"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("by", ["header", ADDED, OWN])
async def test_a_generator_that_has_ended_or_raised_is_not_run_again(
    failure: Exception | None, by: str
) -> None:
    runs = Runs(failure)
    with trio.fail_after(SECONDS):
        async with run_server(app=runs.app) as server:
            async with open_stream(server.url, path="/items") as reader:
                assert await data_of(reader, 1) == ["one"]
                closing = await reader.next_control("closing")
                assert closing == {"reason": "ended" if failure is None else "error"}
                assert await reader.next_block() is None
                assert reader.last_event_id == FINISHED_ID
            path = "/items" if by == "header" else f"/items?{by}={FINISHED_ID}"
            last = FINISHED_ID if by == "header" else None
            with pytest.raises(StreamRefused) as stopped:
                async with open_stream(server.url, path=path, last_event_id=last):
                    pass
    assert (stopped.value.status, runs.count) == (204, 1)
