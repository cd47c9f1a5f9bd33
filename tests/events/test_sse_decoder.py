"""The decoder, compared with the behaviour of browsers and with a second implementation of the standard."""

import json
from pathlib import Path

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamd.errors import TooLarge
from streamd.events.sse import DecodedCursorMove, Decoder, ServerSentEvent
from tests.support.sse_model import bytewise, read, reference, take_all
from tests.support.strategies import any_streams, split, streams

VECTORS = Path(__file__).parents[2] / "streamd/web/client/tests/vectors/event-streams.json"
UNFINISHED = b"data: the start of a line that never ends"
FOLLOWING = b"\r\n\r\ndata: following\r\n\r\n"  # ends any unfinished block, and adds one of its own


@attrs.frozen
class Case:
    """A stream, and the result of decoding it."""

    name: str
    stream: bytes
    events: list[ServerSentEvent | DecodedCursorMove]
    last_event_id: str = ""
    retry_ms: int | None = None


def message(data: str, *, type: str = "message", id: str = "", encoding: str = "") -> ServerSentEvent:
    return ServerSentEvent(type, data, id, encoding=encoding)


def messages(*data: str) -> list[ServerSentEvent | DecodedCursorMove]:
    return [message(text) for text in data]


def load_cases() -> list[Case]:
    """Read the streams that the tests of the browser client decode too; the file explains its fields."""
    cases = json.loads(VECTORS.read_text(encoding="utf-8"))["cases"]
    return [
        Case(
            case["name"],
            case["stream"].encode("latin-1"),
            [
                DecodedCursorMove(event["cursor"]) if "cursor" in event else message(**event)
                for event in case["events"]
            ],
            case.get("last_event_id", ""),
            case.get("retry_ms"),
        )
        for case in cases
    ]


CASES = load_cases()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
class TestEachCaseWholeSplitAndWithTrailingData:
    def test_the_whole_stream_decodes_as_expected(self, case: Case) -> None:
        reading = read([case.stream])
        assert reading.events == case.events
        assert reading.last_event_id == case.last_event_id
        assert reading.retry_ms == case.retry_ms

    def test_the_model_agrees(self, case: Case) -> None:
        assert reference(case.stream) == read([case.stream])

    def test_single_bytes_decode_as_the_whole(self, case: Case) -> None:
        assert read(bytewise(case.stream)) == read([case.stream])

    def test_any_two_pieces_decode_as_the_whole(self, case: Case) -> None:
        whole = read([case.stream])
        for cut in range(min(len(case.stream), 200) + 1):
            assert read([case.stream[:cut], case.stream[cut:]]) == whole, cut

    def test_a_trailing_unfinished_line_changes_nothing(self, case: Case) -> None:
        assert read([case.stream + UNFINISHED]) == read([case.stream])
        assert read([case.stream, UNFINISHED]) == read([case.stream])

    def test_a_trailing_event_is_decoded_too(self, case: Case) -> None:
        for reading in (read([case.stream + FOLLOWING]), read(bytewise(case.stream + FOLLOWING))):
            assert reading.events[: len(case.events)] == case.events
            assert reading.events[-1] == message("following", id=reading.last_event_id)


@given(split())
@settings(max_examples=300)
def test_any_split_of_any_bytes_decodes_as_the_whole(chunks: list[bytes]) -> None:
    stream = b"".join(chunks)
    assert read(chunks) == read([stream]) == read(bytewise(stream))


@given(streams)
@settings(max_examples=300)
def test_any_stream_decodes_by_the_standard(stream: bytes) -> None:
    assert read([stream]) == reference(stream)


@pytest.mark.parametrize("digits", ["9" * 15, "9" * 16, "1" + "0" * 5000, "0" * 5000 + "7"])
def test_a_retry_of_any_length_is_decoded(digits: str) -> None:
    reading = read([f"retry: {digits}\n\ndata: a\n\n".encode()])
    assert reading.events == messages("a")
    assert reading.retry_ms == int(digits.lstrip("0")[:15])


def test_next_event_returns_none_until_there_is_one() -> None:
    decoder = Decoder()
    assert decoder.next_event() is None
    decoder.receive_data(b"")
    assert decoder.next_event() is None
    decoder.receive_data(b"data: a\n\n")
    assert decoder.next_event() == message("a")
    assert decoder.next_event() is None
    assert decoder.next_event() is None


def test_complete_events_are_kept_in_order() -> None:
    decoder = Decoder()
    decoder.receive_data(b"data: a\n\nid: 1\n\n")
    decoder.receive_data(b"data: b\n\n")
    assert take_all(decoder) == [message("a"), DecodedCursorMove("1"), message("b", id="1")]


class TestTheLimitOfABlock:
    def test_a_block_may_have_the_maximum_size(self) -> None:
        stream = b"data: a\nid: 1\n\n"  # 7 and 5 characters
        assert read([stream], max_block_chars=12).events == [message("a", id="1")]
        assert read([stream], max_block_chars=11).too_large

    def test_the_limit_counts_characters(self) -> None:
        assert not read(["data: é€😀\n\n".encode()], max_block_chars=9).too_large
        assert read(["data: é€😀\n\n".encode()], max_block_chars=8).too_large

    def test_an_unfinished_line_counts(self) -> None:
        assert read([b"data: aaaa"], max_block_chars=9).too_large

    def test_the_limit_applies_to_each_block(self) -> None:
        reading = read([b"data: a\n\n" * 100], max_block_chars=7)
        assert reading.events == messages(*["a"] * 100)
        assert not reading.too_large

    def test_comments_do_not_add_up(self) -> None:
        """Keep-alive comments need no blank line, and a quiet stream may have them for weeks."""
        reading = read([b": keep-alive\n" * 1000 + b"data: a\n\n"], max_block_chars=12)
        assert reading.events == messages("a")
        assert not reading.too_large

    def test_one_endless_comment_is_limited_too(self) -> None:
        assert read([b":" + b"x" * 100], max_block_chars=100).too_large

    def test_events_complete_before_the_error_can_still_be_taken(self) -> None:
        decoder = Decoder(max_block_chars=10)
        with pytest.raises(TooLarge, match="10 characters"):
            decoder.receive_data(b"data: a\n\nid: 5\n\ndata: much too long\n\ndata: b\n\n")
        assert take_all(decoder) == [message("a"), DecodedCursorMove("5")]
        assert decoder.last_event_id == "5"

    def test_the_stream_cannot_be_decoded_after_the_error(self) -> None:
        decoder = Decoder(max_block_chars=10)
        for _ in range(3):
            with pytest.raises(TooLarge):
                decoder.receive_data(b"data: much too long\n\ndata: b\n\n")
        assert decoder.next_event() is None

    @given(chunks=split(any_streams), limit=st.integers(1, 40))
    @settings(max_examples=300)
    def test_the_limit_is_exact_for_any_split(self, chunks: list[bytes], limit: int) -> None:
        stream = b"".join(chunks)
        whole = reference(stream, max_block_chars=limit)
        assert read([stream], max_block_chars=limit) == whole
        assert read(chunks, max_block_chars=limit) == whole
        assert read(bytewise(stream), max_block_chars=limit) == whole


def test_an_event_tells_whether_its_own_block_has_an_id() -> None:
    decoder = Decoder()
    decoder.receive_data(b"data: a\n\nid: 7\ndata: b\n\ndata: c\n\nid: 7\ndata: d\n\nid\ndata: e\n\n")
    events = [event for event in take_all(decoder) if isinstance(event, ServerSentEvent)]
    assert [(event.last_event_id, event.has_id) for event in events] == [
        ("", False),
        ("7", True),
        ("7", False),
        ("7", True),
        ("", True),
    ]
