"""Parts without I/O: problems, the JSON of frames, and the decisions of a link."""

import json

import pytest
import trio
from trio.testing import MockClock

from streamd.client import (
    ClosingNotice,
    Connected,
    Gap,
    Item,
    ProtocolError,
    ReceivedEvent,
    RequestFailed,
    ServerBusy,
    Timeouts,
)
from streamd.client.errors import failed
from streamd.client.link import ControlFrame, Link
from streamd.client.problem import read_problem
from streamd.client.sse import read_block
from streamd.client.wire import read_frame, read_poll_answer
from streamd.events import EventId
from streamd.events.sse import ServerSentEvent

A, B, C = (EventId(f"1700000000000-00000{n}") for n in (1, 2, 3))


def event(id: str) -> ReceivedEvent:
    return ReceivedEvent(id, "message", None, "x")


class TestProblem:
    @pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"null", b"\xff", b'{"code": 5, "detail": []}'])
    def test_a_body_without_a_problem_gives_the_status_alone(self, body: bytes) -> None:
        problem = read_problem(404, {}, body)
        assert (problem.status, problem.code, problem.field) == (404, "http-404", None)
        assert "404 Not Found" in problem.detail

    def test_an_unknown_status_has_no_phrase(self) -> None:
        assert read_problem(599, {}, b"").detail == "the server answered 599"

    def test_the_status_decides_whether_a_retry_may_help(self) -> None:
        assert type(failed(read_problem(400, {}, b""))) is RequestFailed
        assert type(failed(read_problem(503, {"retry-after": "3"}, b""))) is ServerBusy


class TestWire:
    def test_a_control_frame_has_its_fields_and_reconnection_time(self) -> None:
        frame, retry = read_frame('{"control":"connected","head":"h","retry":3}')
        assert isinstance(frame, ControlFrame)
        assert (frame.name, frame.fields["head"], retry) == ("connected", "h", 3)

    @pytest.mark.parametrize("text", ["", "[]", "{", '{"id":1}', '{"id":"a","topics":"t"}'])
    def test_text_that_is_no_message_is_an_error(self, text: str) -> None:
        with pytest.raises(ProtocolError):
            read_frame(text)

    @pytest.mark.parametrize(
        ("data", "encoding"),
        [("AAE", "base64"), ("AB==", "base64"), ("A A=", "base64"), ("AAEC", "base32"), ("AAEC", "text")],
    )
    def test_data_that_is_not_in_its_encoding_is_an_error(self, data: str, encoding: str) -> None:
        fields = {"id": A, "data": data, "encoding": encoding}
        with pytest.raises(ProtocolError, match="an event cannot be read"):
            read_frame(json.dumps(fields))
        with pytest.raises(ProtocolError, match="an event cannot be read"):
            read_block(ServerSentEvent("message", data, A, encoding=encoding))

    def test_a_json_value_is_no_base64(self) -> None:
        with pytest.raises(ProtocolError, match="data must be base64"):
            read_frame(json.dumps({"id": A, "data": 1234, "encoding": "base64"}))

    def test_a_body_that_is_no_poll_answer_is_an_error(self) -> None:
        with pytest.raises(ProtocolError):
            read_poll_answer(b'{"events":[]}')


async def decide(link: Link, *frames: ReceivedEvent | ControlFrame) -> None:
    for frame in frames:
        await link.take(frame)


async def test_a_link_drops_repeats_and_follows_control_frames(autojump_clock: MockClock) -> None:
    items: list[Item] = []

    async def send(item: Item) -> None:
        await trio.lowlevel.checkpoint()
        items.append(item)

    link = Link(Timeouts(heartbeats=2, silence_seconds=33), send, None)
    link.begin()
    assert (link.silence_seconds, link.progress) == (33, False)
    await decide(link, ControlFrame("connected", {"head": A, "heartbeat_seconds": 4}))
    assert (link.cursor, link.silence_seconds, link.progress) == (A, 8, False)
    await decide(link, event(A), event(C), event(B), event(""), event("x-is-later"))
    await decide(link, ControlFrame("heartbeat", {}), ControlFrame("token-expiring", {}))
    await decide(link, ControlFrame("gap", {"requested": C, "resumed_after": A}), event(B))
    await decide(link, ControlFrame("closing", {"reason": "lifetime"}))
    assert (link.cursor, link.progress, link.replaced) == (B, True, False)
    with pytest.raises(RequestFailed, match="no such"):
        await decide(link, ControlFrame("error", {"code": "invalid-field", "detail": "no such topic"}))
    link.begin()
    assert (link.silence_seconds, link.progress) == (33, False)
    # A later `connected` without fields changes nothing.
    await decide(link, ControlFrame("connected", {"heartbeat_seconds": "often"}))
    assert link.cursor == B
    assert items == [
        Connected(None, A, 4),
        event(C),
        event(""),
        event("x-is-later"),
        Gap(C, A),
        event(B),
        ClosingNotice("lifetime"),
        Connected(None, None, None),
    ]
