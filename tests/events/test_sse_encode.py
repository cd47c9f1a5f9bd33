"""The SSE encoder: exact bytes, rejected values, and round trips through the decoder."""

import tracemalloc
from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.events import Control, ControlName, CursorMove, DataEncoding, Event, EventId
from streamd.events.sse import DecodedCursorMove, ServerSentEvent, encode_block, encode_comment
from tests.support.counted import count_instructions
from tests.support.sse_model import Reading, bytewise, read
from tests.support.strategies import events, hostile_texts, ids, json_values, retries, texts

AnyFrame: TypeAlias = Event | Control | CursorMove


def with_lf(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def seen(event: Event) -> ServerSentEvent:
    encoding = "base64" if event.encoding is DataEncoding.BASE64 else ""
    return ServerSentEvent(event.type, with_lf(event.data), event.id, encoding=encoding)


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        (encode_block(), b"\n"),
        (encode_block(data="hello"), b"data: hello\n\n"),
        (encode_block(data=""), b"data: \n\n"),
        (encode_block(data=" two  spaces "), b"data:  two  spaces \n\n"),
        (encode_block(data="a\nb\rc\r\nd"), b"data: a\ndata: b\ndata: c\ndata: d\n\n"),
        (encode_block(data="\n"), b"data: \ndata: \n\n"),
        (encode_block(data="a\n"), b"data: a\ndata: \n\n"),
        (encode_block(data="a\u2028b\x85c\x0bd"), "data: a\u2028b\x85c\x0bd\n\n".encode()),
        (encode_block(id="7"), b"id: 7\n\n"),
        (encode_block(id=" 7"), b"id:  7\n\n"),
        (encode_block(retry_ms=0), b"retry: 0\n\n"),
        (
            encode_block(id="7", type="tick", data="é", retry_ms=1500),
            "event: tick\nretry: 1500\ndata: é\nid: 7\n\n".encode(),
        ),
        (encode_block(id="7", topics=["a", "b:c"], data="d"), b"topic: a\ntopic: b:c\ndata: d\nid: 7\n\n"),
        (
            encode_block(id="7", topics=["a"], base64=True, data="AAEC", retry_ms=5),
            b"topic: a\nencoding: base64\nretry: 5\ndata: AAEC\nid: 7\n\n",
        ),
        (encode_comment(), b": \n\n"),
        (encode_comment("hello"), b": hello\n\n"),
        (encode_comment("a\nb\r\nc"), b": a\n: b\n: c\n\n"),
    ],
)
def test_a_block_has_exactly_these_bytes(block: bytes, expected: bytes) -> None:
    assert block == expected


def test_lines_are_no_objects_of_their_own() -> None:
    lines = 100_000
    data = "\n" * lines
    tracemalloc.start()
    try:
        assert len(encode_block(data=data)) > 7 * lines
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 40 * lines  # a str is 49 bytes


@pytest.mark.parametrize("breaker", ["\n", "\r", "\r\n", "\0"])
@pytest.mark.parametrize("form", ["{}", "a{}b", "a{}", "{}data: forged"])
def test_a_line_break_or_nul_is_rejected_in_id_type_and_topics(breaker: str, form: str) -> None:
    text = form.format(breaker)
    with pytest.raises(ValueError, match=r"^id must not contain a line break or NUL"):
        encode_block(id=text, data="x")
    with pytest.raises(ValueError, match=r"^type must not contain a line break or NUL"):
        encode_block(type=text, data="x")
    with pytest.raises(ValueError, match=r"^topic must not contain a line break or NUL"):
        encode_block(topics=["a", text], data="x")


def test_text_that_utf8_cannot_encode_is_rejected() -> None:
    with pytest.raises(ValueError, match="surrogates not allowed"):
        encode_block(data="\ud800")


@given(events())
def test_an_event_round_trips(event: Event) -> None:
    assert read([event.sse]) == Reading([seen(event)], event.id, event.retry_ms)
    assert read(bytewise(event.sse)) == read([event.sse])


@given(events(hostile_texts))
def test_no_data_can_forge_a_field(event: Event) -> None:
    """The block is one event with its own id, type and reconnection time, for any data."""
    assert read([event.sse]) == Reading([seen(event)], event.id, event.retry_ms)


@given(hostile_texts, ids)
def test_no_comment_can_forge_a_field(text: str, event_id: EventId) -> None:
    block = encode_comment(text)
    assert read([block]) == Reading([], "", None)
    before = encode_block(id=event_id, data="a", retry_ms=5)
    assert read([before, block]) == read([before])


@given(texts, ids)
def test_a_block_after_another_keeps_its_data(text: str, event_id: EventId) -> None:
    stream = encode_block(id=event_id) + encode_block(data=text)
    assert read([stream]).events == [
        DecodedCursorMove(event_id),
        ServerSentEvent("message", with_lf(text), event_id),
    ]


controls = st.builds(
    Control, st.sampled_from(ControlName), st.dictionaries(texts, json_values, max_size=3), retries
)
frames: st.SearchStrategy[list[AnyFrame]] = st.lists(
    events() | controls | st.builds(CursorMove, ids), max_size=5
)


def expected_reading(sent: list[AnyFrame]) -> Reading:
    """Return the result of decoding frames: events and cursor moves set the id, control frames never do."""
    cursor, retry_ms = "", None
    received: list[ServerSentEvent | DecodedCursorMove] = []
    for frame in sent:
        match frame:
            case Event():
                cursor = frame.id
                received.append(seen(frame))
            case CursorMove():
                if frame.id != cursor:
                    received.append(DecodedCursorMove(frame.id))
                cursor = frame.id
            case Control():
                data = frame.sse.decode().partition("data: ")[2].removesuffix("\n\n")
                received.append(ServerSentEvent(frame.name, data, cursor))
        if not isinstance(frame, CursorMove) and frame.retry_ms is not None:
            retry_ms = frame.retry_ms
    return Reading(received, cursor, retry_ms)


@given(frames)
def test_frames_in_any_order_decode_as_expected(sent: list[AnyFrame]) -> None:
    stream = b"".join(frame.sse for frame in sent)
    assert read([stream]) == read(frame.sse for frame in sent) == read(bytewise(stream))
    assert read([stream]) == expected_reading(sent)


@given(frames, texts)
def test_comments_between_blocks_change_nothing(sent: list[AnyFrame], comment: str) -> None:
    blocks = [frame.sse for frame in sent]
    commented = [part for block in blocks for part in (encode_comment(comment), block)]
    assert read(commented) == read(blocks)


def test_the_work_for_a_block_does_not_grow_with_its_lines() -> None:
    assert count_instructions(lambda: encode_block(data="\r\n\r\n" * 1000)) < 500
    assert count_instructions(lambda: encode_comment("\n" * 1000)) < 500
