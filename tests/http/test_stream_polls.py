"""Long polling of streams with a current state, and streams of programs over all transports."""

from collections.abc import AsyncIterator, Sequence
from contextlib import nullcontext
from typing import Any

import attrs
import httpx
import msgspec
import pytest
import trio
from quart import Blueprint
from quart_trio import QuartTrio

from streamd import EventStream, Streamd
from streamd.connections import CloseReason
from streamd.connections.settings import PollSettings
from streamd.events import Frame, Selectors, UnloggedEvent
from streamd.http import stream_route
from streamd.hub.settings import HubSettings
from streamd.log.settings import LogSettings
from streamd.runtime import RuntimeSettings
from streamd.settings import Settings
from streamd.tasks.settings import TaskSettings
from streamd.testing import run_server
from streamd.transports import StreamRequest
from streamd.transports.longpoll import poll
from tests.support.api import check_problem, serving_api
from tests.support.stream_clients import Refused, WebSocketClient, open_client
from tests.support.tasks_client import TasksApi

SHORT = LogSettings(topic_max_events=2)
SHORT_RING = HubSettings(ring_events=3, batch_events=3)  # otherwise it still has the dropped events


class Shop:
    """An application whose streams are served over all transports."""

    def __init__(self, settings: RuntimeSettings | None = None) -> None:
        self.app = QuartTrio("shop")
        self.streamd = Streamd(self.app, settings=settings)
        self.openings = 0
        self.runs = 0
        blueprint = Blueprint("orders", __name__, url_prefix="/orders")
        self.streamd.stream_route("/stock")(self.stock)
        stream_route(blueprint, "/<order>/events")(self.follow)
        stream_route(blueprint, "/own")(self.own)
        self.app.register_blueprint(blueprint)

    def opening(self) -> Sequence[Frame]:
        self.openings += 1
        return [UnloggedEvent({"openings": self.openings}, type="state")]

    async def stock(self) -> EventStream:
        return EventStream("stock", opening=self.opening)

    async def follow(self, order: str) -> EventStream:
        return EventStream(f"orders/{order}")

    async def own(self) -> EventStream:
        async def items() -> AsyncIterator[dict[str, int]]:
            self.runs += 1
            for number in range(3):
                yield {"n": number}

        return EventStream(items())


# --- the current state --------------------------------------------------------------------------------


async def test_a_poll_without_a_cursor_is_answered_with_the_state_at_once() -> None:
    shop = Shop()
    async with serving_api(app=shop.app) as api:
        before = await api.server.streamd.publish("stock", {"n": 0})
        state = {"control": "message", "type": "state", "data": {"openings": 1}}
        answer = (await api.http.get("/stock/poll?wait=50")).json()
        assert answer == {"events": [state], "next": before, "gap": None}
        assert (await api.http.get(f"/stock/poll?after={before}&wait=0")).json() == {
            "events": [],
            "next": before,
            "gap": None,
        }
        assert shop.openings == 1


async def test_the_events_after_a_state_are_those_after_its_position() -> None:
    app = QuartTrio("shop")
    streamd = Streamd(app)

    @streamd.stream_route("/head")
    async def head() -> EventStream:
        return EventStream("stock", opening=lambda: [UnloggedEvent({"head": streamd.head}, type="state")])

    ids: list[str] = []
    pairs: list[tuple[str, str]] = []
    async with serving_api(app=app) as api, trio.open_nursery() as nursery:

        async def publish() -> None:
            while True:
                ids.append(await streamd.publish("stock", len(ids)))

        nursery.start_soon(publish)
        for _ in range(20):
            answer = (await api.http.get("/head/poll")).json()
            [state] = answer["events"]
            assert answer["next"] == state["data"]["head"]
            following = (await api.http.get(f"/head/poll?after={answer['next']}")).json()["events"]
            pairs.append((answer["next"], following[0]["id"]))
        nursery.cancel_scope.cancel()
    assert [(ids[ids.index(event_id) - 1], event_id) for _, event_id in pairs] == pairs


async def test_a_gap_brings_the_state_again() -> None:
    settings = Settings(log=SHORT, hub=SHORT_RING)
    shop = Shop(settings)
    async with serving_api(app=shop.app) as api:
        first = await api.server.streamd.publish("stock", {"n": 0})
        for number in range(1, 10):
            last = await api.server.streamd.publish("stock", {"n": number})
        answer = (await api.http.get(f"/stock/poll?after={first}")).json()
        assert answer["gap"]["requested"] == first
        [state, *events] = answer["events"]
        assert state == {"control": "message", "type": "state", "data": {"openings": 1}}
        assert [event["data"]["n"] for event in events] == [8, 9]
        assert answer["next"] == last


async def test_a_poll_behind_the_kept_messages_of_a_task_gets_a_snapshot() -> None:
    settings = Settings(log=SHORT, hub=SHORT_RING, tasks=TaskSettings())
    async with run_server(settings) as server, httpx.AsyncClient(base_url=server.url) as http:
        api = TasksApi(server, http)
        task = await api.create(worker="w")
        path = f"/tasks/{task['id']}/events/poll"
        [snapshot] = (await http.get(path)).json()["events"]
        for number in range(10):
            await api.report(task, progress=number)
        answer = (await http.get(f"{path}?after={snapshot['id']}")).json()
        assert answer["gap"] is None
        [again] = answer["events"]
        assert again["data"]["snapshot"] is True
        assert again["data"]["version"] == 12
        assert answer["next"] == again["id"]
        await api.report(task, status="completed")
        for _ in range(5):
            await server.streamd.publish(f"others/{task['id']}", 1)
        answer = (await http.get(f"{path}?after={answer['next']}")).json()
        assert [event["type"] for event in answer["events"]] == ["complete"]
        assert answer["control"] == [{"control": "closing", "reason": "ended"}]
        assert (await http.get(f"{path}?after={answer['next']}")).status_code == 204


async def test_an_answer_that_lacks_the_end_of_a_task_does_not_close_its_stream() -> None:
    settings = Settings(poll=PollSettings(max_events=3))
    async with run_server(settings) as server, httpx.AsyncClient(base_url=server.url) as http:
        api = TasksApi(server, http)
        task = await api.create(worker="w")
        for number in range(4):
            await api.report(task, message=str(number))
        await api.report(task, status="completed")
        path = f"/tasks/{task['id']}/events/poll"
        cursor, seen = "earliest", []
        while (answer := await http.get(f"{path}?after={cursor}")).status_code == 200:
            fields = answer.json()
            seen += [event["data"]["version"] for event in fields["events"]]
            cursor = fields["next"]
            assert ("control" in fields) == (seen[-1] == 7)
        assert answer.status_code == 204
        assert seen == list(range(1, 8))


# --- the end of the wait ---------------------------------------------------------------------------------


@attrs.define
class SlowSource:
    """A source that takes ten seconds for each frame."""

    is_over: bool = False
    began: trio.Event = attrs.field(factory=trio.Event)

    def begin(self) -> Sequence[Frame]:
        return ()

    async def follow(self, frames: Sequence[Frame]) -> list[Frame]:
        if frames:
            self.began.set()
            await trio.sleep(10)
        return list(frames)


@pytest.mark.parametrize("closes", [False, True])
async def test_frames_that_were_received_are_answered_whatever_ends_the_wait(
    autojump_clock: trio.testing.MockClock, closes: bool
) -> None:
    streamd = Streamd(QuartTrio("shop"))
    source = SlowSource()
    answers: list[bytes] = []
    async with streamd.running():
        broker = streamd.runtime.broker
        request = StreamRequest(selectors=Selectors(topics=("a",)), after=broker.log.head)

        async def wait() -> None:
            answers.append(await poll(broker, request, 2, {}, lambda *_: nullcontext(source)))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            event_id = await streamd.publish("a", {"n": 1})
            await source.began.wait()
            if closes:
                [connection] = streamd.connections
                connection.close(CloseReason.SHUTDOWN)
    answer: dict[str, Any] = msgspec.json.decode(answers[0])
    assert [event["id"] for event in answer["events"]] == [event_id]
    assert answer["next"] == event_id
    assert answer.get("control") == ([{"control": "closing", "reason": "shutdown"}] if closes else None)


# --- generated streams --------------------------------------------------------------------------------


async def test_a_generated_stream_is_served_by_websocket_to_its_end_and_once() -> None:
    shop = Shop()
    async with serving_api(app=shop.app) as api:
        async with open_client(api.server, "websocket", "/orders/own") as client:
            assert [message.data for message in await client.rest()] == [{"n": n} for n in range(3)]
            assert client.is_over
            assert client.cursor == "over"
        for transport in ("sse", "websocket"):
            with pytest.raises(Refused) as refused:
                async with open_client(api.server, transport, "/orders/own", cursor="over"):
                    pass
            assert refused.value.status == 204
        assert shop.runs == 1


async def test_a_socket_of_a_generated_stream_is_answered() -> None:
    app = QuartTrio("shop")
    streamd = Streamd(app)

    @streamd.stream_route("/own")
    async def own() -> EventStream:
        async def items() -> AsyncIterator[str]:
            yield "first"
            await trio.sleep_forever()

        return EventStream(items())

    async with run_server(app=app) as server:
        async with open_client(server, "websocket", "/own") as client:
            assert isinstance(client, WebSocketClient)
            assert await client.receive() == {"control": "message", "type": "message", "data": "first"}
            await client.send(control="ping", nonce="x")
            assert await client.receive() == {"control": "pong", "nonce": "x"}


async def test_a_generated_stream_has_no_polls() -> None:
    shop = Shop()
    async with serving_api(app=shop.app) as api:
        check_problem(await api.http.get("/orders/own/poll"), 404, "not-found")
        assert (await api.http.head("/orders/own/poll")).status_code == 404
        for parameter in ("after", "last_event_id", "lastEventId"):
            assert (await api.http.get(f"/orders/own/poll?{parameter}=over")).status_code == 204
        assert shop.runs == 0


# --- applications of programs ---------------------------------------------------------------------------


@pytest.mark.parametrize("transport", ["sse", "websocket", "poll"])
async def test_a_route_of_a_blueprint_has_all_transports(transport: str) -> None:
    async with serving_api(app=Shop().app) as api:
        async with open_client(api.server, transport, "/orders/7/events") as client:
            await api.server.streamd.publish("orders/8", {"n": 8})
            await api.server.streamd.publish("orders/7", {"n": 7})
            assert [message.data for message in await client.take(1)] == [{"n": 7}]


async def test_a_socket_does_not_publish_to_an_application_without_the_api() -> None:
    async with serving_api(app=Shop().app) as api:
        async with open_client(api.server, "websocket", "/orders/7/events") as client:
            assert isinstance(client, WebSocketClient)
            await client.send(control="publish", nonce=1, topic="orders/7", data=1)
            answer = await client.receive()
            assert (answer["control"], answer["nonce"], answer["code"]) == ("error", 1, "forbidden")
        assert api.server.streamd.hub.log.head == api.server.streamd.head


async def test_a_poll_takes_the_cursor_of_the_url_that_the_client_was_given() -> None:
    async with serving_api(app=Shop().app) as api:
        first, second = [await api.server.streamd.publish("orders/7", {"n": n}) for n in range(2)]
        path = f"/orders/7/events/poll?wait=0&last_event_id={first}"
        answer = (await api.http.get(path)).json()
        assert [event["id"] for event in answer["events"]] == [second]
        assert (await api.http.get(f"{path}&after={second}")).json()["events"] == []
        assert (await api.http.get(f"{path}&lastEventId={second}")).json()["events"] == []
        answer = await api.http.get(f"{path}&after={second}", headers={"Last-Event-ID": "earliest"})
        assert len(answer.json()["events"]) == 2
        check_problem(await api.http.get("/orders/7/events/poll?wait=1e9"), 400, "invalid-field", "wait")


def test_a_route_needs_an_application() -> None:
    with pytest.raises(RuntimeError, match="init_app"):
        Streamd().stream_route("/x")
