"""Batches: their bytes compared with h11 and wsproto, and how they are shared."""

import json
from collections import Counter

import h11
import pytest
import wsproto
from hypothesis import given
from hypothesis import strategies as st
from wsproto.events import TextMessage

from streamd.events import Batch, Control, CursorMove, Draft, Event, EventId, Frame, encode_text_frame
from streamd.events.event import DEFAULT_TYPE
from streamd.events.ids import make_event_id
from tests.support.strategies import LIMITS, events

FIRST, SECOND, THIRD = (make_event_id(1_700_000_000_123, sequence) for sequence in (1, 2, 3))

frames = st.lists(
    events() | st.builds(Control, st.just("heartbeat")) | st.builds(CursorMove, st.just(SECOND)),
    min_size=1,
    max_size=6,
)


def event(id: EventId, type: str | None = None) -> Event:
    return Event.from_draft(Draft.create("a", "text", limits=LIMITS, type=type), id)


class CountingFrame:
    """A frame that counts its encodings."""

    def __init__(self) -> None:
        self.encoded: Counter[str] = Counter()

    @property
    def sse(self) -> bytes:
        self.encoded["sse"] += 1
        return b"data: x\n\n"

    @property
    def json(self) -> bytes:
        self.encoded["json"] += 1
        return b"{}"

    @property
    def text(self) -> str:
        return "{}"


# --- HTTP/1.1 -------------------------------------------------------------------------------------


def begin_response() -> tuple[h11.Connection, h11.Connection]:
    """Make a server and a client in the middle of a chunked response."""
    server, client = h11.Connection(h11.SERVER), h11.Connection(h11.CLIENT)
    request = client.send(h11.Request(method="GET", target="/", headers=[("host", "x")]))
    assert request is not None
    server.receive_data(request + (client.send(h11.EndOfMessage()) or b""))
    assert isinstance(server.next_event(), h11.Request)
    assert isinstance(server.next_event(), h11.EndOfMessage)
    head = server.send(h11.Response(status_code=200, headers=[("transfer-encoding", "chunked")]))
    assert head is not None
    client.receive_data(head)
    assert isinstance(client.next_event(), h11.Response)
    return server, client


def read_body(client: h11.Connection) -> bytes:
    """Read the received part of the body."""
    body = b""
    while isinstance(part := client.next_event(), h11.Data):
        body += part.data
    assert part in (h11.NEED_DATA, h11.EndOfMessage()), part
    return body


@given(frames)
def test_a_chunk_is_the_same_as_from_h11(frames: list[Frame]) -> None:
    batch = Batch(frames)
    server, client = begin_response()
    assert batch.chunk == server.send(h11.Data(data=batch.sse))
    client.receive_data(batch.chunk)
    assert read_body(client) == batch.sse == b"".join(frame.sse for frame in frames)


def test_chunks_may_be_written_past_h11() -> None:
    server, client = begin_response()
    batch = Batch([event(FIRST), event(SECOND)])
    end = server.send(h11.EndOfMessage())
    assert end is not None
    client.receive_data(batch.chunk + batch.chunk)
    assert read_body(client) == batch.sse * 2
    client.receive_data(batch.chunk + end)
    assert read_body(client) == batch.sse
    assert client.their_state is h11.DONE


# --- WebSocket ------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 200_000])
def test_a_text_frame_is_the_same_as_from_wsproto(size: int) -> None:
    text = "x" * size
    made = encode_text_frame(text.encode())
    assert made == wsproto.connection.Connection(wsproto.ConnectionType.SERVER).send(TextMessage(data=text))
    client = wsproto.connection.Connection(wsproto.ConnectionType.CLIENT)
    client.receive_data(made)
    [message] = client.events()
    assert isinstance(message, TextMessage)
    assert message.data == text
    assert message.message_finished


@given(frames)
def test_each_frame_of_a_batch_is_one_websocket_message(frames: list[Frame]) -> None:
    client = wsproto.connection.Connection(wsproto.ConnectionType.CLIENT)
    client.receive_data(Batch(frames).websocket)
    messages = [message for message in client.events() if isinstance(message, TextMessage)]
    assert [message.data for message in messages] == [frame.text for frame in frames]
    assert all(isinstance(json.loads(message.data), dict) for message in messages)


# --- sharing --------------------------------------------------------------------------------------


def test_a_batch_is_encoded_once_for_each_transport() -> None:
    counting = [CountingFrame(), CountingFrame()]
    batch = Batch(counting)
    assert not counting[0].encoded  # encoded on first use only
    for _ in range(3):
        assert batch.chunk
        assert batch.sse
        assert batch.websocket
    assert [frame.encoded for frame in counting] == [Counter(sse=1, json=1)] * 2


@pytest.mark.parametrize("name", ["sse", "chunk", "websocket", "events", "types"])
def test_each_property_of_a_batch_is_made_once(name: str) -> None:
    batch = Batch([event(FIRST), event(SECOND)])
    assert getattr(batch, name) is getattr(batch, name)


def test_an_event_is_encoded_once_for_all_its_batches() -> None:
    shared = event(FIRST)
    assert Batch([shared]).frames[0].sse is Batch([shared, event(SECOND)]).frames[0].sse
    assert Batch([shared]).sse == shared.sse


# --- contents -------------------------------------------------------------------------------------


def test_the_cursor_is_the_last_id_of_a_client_that_read_the_batch() -> None:
    assert Batch([event(FIRST), event(SECOND)]).cursor == SECOND
    assert Batch([event(FIRST), CursorMove(THIRD)]).cursor == THIRD
    assert Batch([CursorMove(FIRST), event(SECOND), Control("heartbeat")]).cursor == SECOND
    assert Batch([Control("gap"), CursorMove(FIRST), Control("heartbeat")]).cursor == FIRST
    assert Batch([Control("heartbeat")]).cursor is None
    assert Batch([]).cursor is None


def test_control_frames_are_not_counted() -> None:
    first, second = event(FIRST, "stage"), event(THIRD)
    batch = Batch([Control("gap"), first, CursorMove(SECOND), second, Control("heartbeat")])
    assert batch.count == 2
    assert list(batch.events) == [first, second]
    assert (batch.first_id, batch.last_id) == (FIRST, THIRD)
    assert batch.types == {"stage": 1, DEFAULT_TYPE: 1}
    quiet = Batch([Control("heartbeat"), CursorMove(FIRST)])
    assert (quiet.count, list(quiet.events), quiet.types) == (0, [], Counter())


def test_events_are_counted_by_type() -> None:
    batch = Batch([event(FIRST, "stage"), event(SECOND, "stage"), event(THIRD, "done")])
    assert batch.types == {"stage": 2, "done": 1}
    assert batch.types["other"] == 0


def test_the_time_of_publishing_is_of_the_newest_event() -> None:
    older = event(make_event_id(1_600_000_000_000, 0))
    assert Batch([older, event(FIRST), Control("heartbeat")]).published_seconds == 1_700_000_000.123
    assert Batch([Control("heartbeat")]).published_seconds == 0


def test_a_batch_with_topics_differs_in_the_blocks_of_its_events_only() -> None:
    named = Event.from_draft(Draft.create(["a/1", "b"], {"n": 1}, limits=LIMITS, type="stage"), FIRST)
    heartbeat, move = Control("heartbeat"), CursorMove(SECOND)
    batch = Batch([heartbeat, named, move])
    block = b'event: stage\ntopic: a/1\ntopic: b\ndata: {"n":1}\nid: %b\n\n' % FIRST.encode()
    assert batch.with_topics.sse == heartbeat.sse + block + move.sse
    assert batch.with_topics.websocket == batch.websocket
    assert batch.with_topics is batch.with_topics  # encoded once for all clients that ask for it
    assert b"topic: " not in batch.sse


# --- shares of subscribers with limited rights ----------------------------------------------------


class CountingRights:
    """Rights to read events of some types, which count the questions."""

    def __init__(self, *types: str) -> None:
        self.types = types
        self.asked = 0

    def may_read(self, event: Event) -> bool:
        self.asked += 1
        return event.type in self.types


def test_rights_are_asked_once_for_all_their_subscribers() -> None:
    batch = Batch([event(FIRST, "a"), Control("heartbeat"), event(SECOND, "b"), event(THIRD, "a")])
    rights, others = CountingRights("a"), CountingRights("b")
    shares = [batch.share_of(rights) for _ in range(100)]
    assert rights.asked == 3
    assert shares[0] is not None
    assert [event.id for event in shares[0].events] == [FIRST, THIRD]
    assert all(share is shares[0] for share in shares), "it is encoded once"
    other = batch.share_of(others)
    assert other is not None
    assert other.first_id == SECOND


def test_all_events_and_none_are_shares_too() -> None:
    batch = Batch([event(FIRST, "a"), event(SECOND, "a")])
    assert batch.share_of(CountingRights("a")) is None
    nothing = batch.share_of(CountingRights())
    assert nothing is not None
    assert nothing.count == 0
