"""Publishing: idempotency keys, retries, and errors that are final."""

import msgspec
import pytest
import trio
from trio.testing import MockClock

from streamd.client import (
    Backoff,
    ProtocolError,
    Publisher,
    Reconnecting,
    RequestFailed,
    ServerBusy,
    Unreachable,
    draft,
)
from streamd.client.publisher import LINES_BYTES_MAX, LINES_MAX
from streamd.errors import InvalidField
from tests.support.fake_server import fake_server, hang
from tests.support.fake_streamd import Cut, FakeStreamd, Fault, HangUp, refuse, respond_as

EXACT = Backoff(initial_seconds=1, jitter=0)


def keys(server: FakeStreamd) -> list[list[str]]:
    """Return the idempotency keys of each request."""
    decode = msgspec.json.decode
    return [
        [decode(line)["idempotency_key"] for line in request.body.splitlines()] for request in server.requests
    ]


async def test_an_event_is_published_with_all_its_fields(clock: MockClock, server: FakeStreamd) -> None:
    async with Publisher(server.url) as publisher:
        event_id = await publisher.publish(["t", "u"], {"sum": 1}, type="note", retry_ms=5)
        text_id = await publisher.publish("t", "1")
    event, text = server.events
    assert (event.id, text.id) == (event_id, text_id)
    assert (event.topics, event.type, event.value, event.retry_ms) == (("t", "u"), "note", {"sum": 1}, 5)
    assert (text.value, text.type) == ("1", "message")
    first, second = keys(server)
    assert first != second


async def test_bytes_are_published_as_bytes(clock: MockClock, server: FakeStreamd) -> None:
    data = bytes(range(256))
    async with Publisher(server.url) as publisher:
        await publisher.publish("t", data)
        await publisher.publish_lines(
            [draft("t", bytearray(data)), draft("t", "AAEC"), draft("t", memoryview(b""))]
        )
    assert [event.value for event in server.events] == [data, data, "AAEC", b""]


@pytest.mark.parametrize("fault", [HangUp(), refuse(503), refuse(429), refuse(502), refuse(504)])
async def test_a_retry_has_the_same_key_and_publishes_once(
    clock: MockClock, server: FakeStreamd, fault: Fault
) -> None:
    server.script.extend([fault, fault])
    async with Publisher(server.url) as publisher:
        event_id = await publisher.publish("t", "x")
    assert [event.id for event in server.events] == [event_id]
    first, second, third = keys(server)
    assert first == second == third


async def test_the_callers_key_is_kept(clock: MockClock, server: FakeStreamd) -> None:
    async with Publisher(server.url) as publisher:
        first = await publisher.publish("t", "x", idempotency_key="mine")
        second = await publisher.publish("t", "x", idempotency_key="mine")
    assert first == second
    assert keys(server) == [["mine"], ["mine"]]


async def test_retry_after_is_waited_for_and_announced(clock: MockClock, server: FakeStreamd) -> None:
    server.script.extend([refuse(503, {"retry-after": "20"}), HangUp()])
    waits: list[Reconnecting] = []
    started = trio.current_time()
    async with Publisher(server.url, backoff=EXACT, on_retry=waits.append) as publisher:
        await publisher.publish("t")
    assert [wait.delay_seconds for wait in waits] == [20, 2]
    assert trio.current_time() - started == pytest.approx(22, abs=0.5)


async def test_publishing_survives_a_restart_of_the_server(clock: MockClock, server: FakeStreamd) -> None:
    async with Publisher(server.url) as publisher:
        await publisher.publish("t", "1")
        await server.stop()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(publisher.publish, "t", "2")
            await trio.sleep(5)
            await server.start()
    assert [event.data for event in server.events] == ["1", "2"]


async def test_no_retry_begins_after_the_time_for_retries(clock: MockClock, server: FakeStreamd) -> None:
    await server.stop()
    async with Publisher(server.url, retry_for_seconds=30) as publisher:
        started = trio.current_time()
        with pytest.raises(Unreachable):
            await publisher.publish("t")
        assert trio.current_time() - started <= 30
    await server.start()
    server.script.append(refuse(503, {"retry-after": "60"}))
    async with Publisher(server.url, retry_for_seconds=30) as publisher:
        with pytest.raises(ServerBusy):
            await publisher.publish("t")


async def test_a_missing_answer_is_a_timeout_and_retried(clock: MockClock) -> None:
    async with fake_server(hang) as silent:
        async with Publisher(silent.url, retry_for_seconds=15) as publisher:
            with pytest.raises(Unreachable, match="no answer within 10 s"):
                await publisher.publish("t")


@pytest.mark.parametrize(("status", "code"), [(400, "invalid-field"), (409, "conflict"), (413, "too-large")])
async def test_a_rejection_has_its_problem_and_is_not_retried(
    clock: MockClock, server: FakeStreamd, status: int, code: str
) -> None:
    problem = {"status": status, "code": code, "detail": "because", "field": "data"}
    server.script.append(refuse(status, problem=problem))
    async with Publisher(server.url) as publisher:
        with pytest.raises(RequestFailed) as caught:
            await publisher.publish("t")
    error = caught.value
    assert (error.problem.status, error.problem.code, error.field) == (status, code, "data")
    assert str(error) == f"because ({status} {code}, field 'data')"
    assert len(server.requests) == 1


async def test_a_rejection_without_a_problem_document_has_its_status(
    clock: MockClock, server: FakeStreamd
) -> None:
    server.script.append(refuse(403))
    async with Publisher(server.url) as publisher:
        with pytest.raises(RequestFailed) as caught:
            await publisher.publish("t")
    assert caught.value.problem.code == "http-403"
    assert "403 Forbidden" in caught.value.detail


@pytest.mark.parametrize("answer", [respond_as("text/html", b"<p>"), refuse(302, {"location": "/login"})])
async def test_an_answer_of_another_protocol_is_an_error(
    clock: MockClock, server: FakeStreamd, answer: Fault
) -> None:
    async with Publisher(server.url) as publisher:
        server.script.append(answer)
        with pytest.raises(ProtocolError):
            await publisher.publish("t")
        server.script.append(answer)
        with pytest.raises(ProtocolError):
            await publisher.publish_lines([draft("t")])


@pytest.mark.parametrize("data", [object(), "\ud800"])
async def test_data_that_is_not_json_is_rejected_before_a_request(
    clock: MockClock, server: FakeStreamd, data: object
) -> None:
    async with Publisher(server.url) as publisher:
        with pytest.raises(InvalidField):
            await publisher.publish("t", data)
    assert server.requests == []


async def test_lines_get_their_ids_in_order(clock: MockClock, server: FakeStreamd) -> None:
    drafts = [draft("t", number) for number in range(3 * LINES_MAX + 1)]
    async with Publisher(server.url) as publisher:
        ids = await publisher.publish_lines(drafts)
    assert ids == [event.id for event in server.events]
    assert [event.value for event in server.events] == list(range(3 * LINES_MAX + 1))
    assert [len(batch) for batch in keys(server)] == [LINES_MAX] * 3 + [1]


async def test_a_batch_of_lines_is_bounded_in_bytes(clock: MockClock, server: FakeStreamd) -> None:
    async with Publisher(server.url) as publisher:
        await publisher.publish_lines([draft("t", "x" * (LINES_BYTES_MAX // 2)) for _ in range(4)])
    assert [len(batch) for batch in keys(server)] == [1, 1, 1, 1]


async def test_a_rejected_line_does_not_hold_up_the_others(clock: MockClock, server: FakeStreamd) -> None:
    drafts = [draft("t", "1"), draft("", "2"), draft("t", "3\u2028still 3")]
    async with Publisher(server.url) as publisher:
        first, second, third = await publisher.publish_lines(drafts)
    assert [event.id for event in server.events] == [first, third]
    assert isinstance(second, RequestFailed)
    assert second.field == "topics"
    assert server.events[1].data == "3\u2028still 3"


@pytest.mark.parametrize("fault", [HangUp(), Cut(0), Cut(1), Cut(4)])
async def test_lines_without_an_answer_are_sent_again(
    clock: MockClock, server: FakeStreamd, fault: Fault
) -> None:
    server.script.append(fault)
    drafts = [draft("t", str(number)) for number in range(5)]
    async with Publisher(server.url) as publisher:
        ids = await publisher.publish_lines(drafts)
    assert ids == [event.id for event in server.events]
    assert [event.data for event in server.events] == list("01234")
    answered = fault.frames if isinstance(fault, Cut) else 0
    first, second = keys(server)
    assert second == first[answered:]


async def test_lines_rejected_for_now_are_sent_again(clock: MockClock, server: FakeStreamd) -> None:
    problem = {"status": 503, "code": "hub-lagging", "detail": "later"}
    answers = [{"line": 1, "id": "1700000000000-000009"}, {"line": 2, "error": problem}]
    body = b"".join(msgspec.json.encode(answer) + b"\n" for answer in answers)
    server.script.append(respond_as("application/x-ndjson", body))
    async with Publisher(server.url) as publisher:
        ids = await publisher.publish_lines([draft("t", "1"), draft("t", "2")])
    assert ids == ["1700000000000-000009", server.events[0].id]
    assert [event.data for event in server.events] == ["2"]


async def test_no_lines_need_no_request(clock: MockClock, server: FakeStreamd) -> None:
    async with Publisher(server.url) as publisher:
        assert await publisher.publish_lines([]) == []
    assert server.requests == []
