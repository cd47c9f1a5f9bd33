"""The decoder, compared with the behaviour of browsers and with a second implementation of the standard."""

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamd.errors import TooLarge
from streamd.events.sse import DecodedCursorMove, Decoder, ServerSentEvent
from tests.support.sse_model import bytewise, read, reference, take_all
from tests.support.strategies import any_streams, split, streams

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


CASES = [
    Case("nothing", b"", []),
    Case("one message", b"data: hello\n\n", messages("hello")),
    # --- byte order mark
    Case("one leading BOM is dropped", b"\xef\xbb\xbfdata: a\n\ndata: b\n\n", messages("a", "b")),
    Case(
        "a later BOM belongs to the field name",
        b"data: a\n\n\xef\xbb\xbfdata: b\n\ndata: c\n\n",
        messages("a", "c"),
    ),
    Case("only one BOM is dropped", b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\ndata: b\n\n", messages("b")),
    Case("a BOM in data is kept", b"data: \xef\xbb\xbfa\n\n", messages("\ufeffa")),
    Case("a BOM and nothing else", b"\xef\xbb\xbf", []),
    Case("half a BOM is malformed text", b"\xef\xbbdata: a\n\ndata: b\n\n", messages("b")),
    Case("a BOM before a blank line", b"\xef\xbb\xbf\n\ndata: a\n\n", messages("a")),
    # --- comments
    Case(
        "comments may be anywhere and end no block",
        b"data: 1\r:\0\n:\r\ndata: 2\n: " + b"long " * 500 + b"\rdata: 3\n:data: not data\ndata: 4\n\n",
        messages("1\n2\n3\n4"),
    ),
    Case("a comment block dispatches nothing", b": keep-alive\n\n:\n\n", []),
    # --- the end of the stream
    Case(
        "a block without its blank line is never dispatched",
        b"retry: 1000\ndata: whole\n\nid: 9\ndata: partial\n",
        messages("whole"),
        retry_ms=1000,
    ),
    Case("an unfinished line is not a field", b"data: a\n\nretry: 5", messages("a")),
    Case(
        "an id in an unfinished block does not count",
        b"id: 1\ndata: a\n\nid: 2\n",
        [message("a", id="1")],
        "1",
    ),
    Case("data cut off in the middle of a character", b"data: a\n\ndata: \xe2\x82", messages("a")),
    # --- data
    Case(
        "empty data is data, with or without a colon",
        b"data:\n\ndata\n\ndata\ndata\n\ndata: \ndata:\n\n",
        messages("", "", "\n", "\n"),
    ),
    Case("lines are joined by LF", b"data: a\ndata:\ndata: b\ndata\n\n", messages("a\n\nb\n")),
    Case("a colon in the value is kept", b"data: a:b: c\n\n", messages("a:b: c")),
    Case("NUL in data is kept", b"data: \0\n\n\n\n", messages("\0")),
    # --- event
    Case(
        "a type holds for one event",
        b"event: tick\ndata: a\n\ndata: b\n\n",
        [message("a", type="tick"), message("b")],
    ),
    Case("an empty type is message", b"event: \ndata: a\n\nevent\ndata: b\n\n", messages("a", "b")),
    Case("the last type counts", b"event: a\ndata: x\nevent: b\n\n", [message("x", type="b")]),
    Case("a type emptied again is message", b"event: a\nevent:\ndata: x\n\n", messages("x")),
    Case("a type without data is forgotten", b"event: tick\n\ndata: a\n\n", messages("a")),
    # --- id
    Case(
        "an id holds until the next one",
        b"id: 1\ndata: a\n\ndata: b\n\nid: 2\ndata: c\n\n",
        [message("a", id="1"), message("b", id="1"), message("c", id="2")],
        "2",
    ),
    Case(
        "an empty id resets it",
        b"id: 1\ndata: a\n\nid:\ndata: b\n\nid: 3\ndata: c\n\nid\ndata: d\n\n",
        [message("a", id="1"), message("b"), message("c", id="3"), message("d")],
    ),
    Case("the id may follow the data", b"data: a\nid: 5\n\n", [message("a", id="5")], "5"),
    Case("the last id of a block counts", b"id: 1\nid: 2\ndata: a\n\n", [message("a", id="2")], "2"),
    Case("an id may be any text", "id:  é:…\ndata: a\n\n".encode(), [message("a", id=" é:…")], " é:…"),
    Case(
        "an id with NUL is ignored",
        b"id: 1\ndata: a\n\nid: 2\x003\ndata: b\n\nid: \0\ndata: c\n\n",
        [message("a", id="1"), message("b", id="1"), message("c", id="1")],
        "1",
    ),
    Case("an id with NUL leaves the block's own", b"id: 4\nid: \0\ndata: a\n\n", [message("a", id="4")], "4"),
    Case("an id alone moves the cursor", b"id: 7\n\n", [DecodedCursorMove("7")], "7"),
    Case(
        "an unchanged cursor is no cursor move",
        b"id: 7\ndata: a\n\nid: 7\n\nid: 7\n\n",
        [message("a", id="7")],
        "7",
    ),
    Case(
        "an empty id alone resets the cursor",
        b"id: 7\n\nid\n\n",
        [DecodedCursorMove("7"), DecodedCursorMove("")],
    ),
    Case(
        "a cursor move holds for later events",
        b"id: 7\n\ndata: a\n\n",
        [DecodedCursorMove("7"), message("a", id="7")],
        "7",
    ),
    # --- retry
    Case("digits set the reconnection time", b"retry: 3000\ndata: a\n\n", messages("a"), retry_ms=3000),
    Case("retry counts at once, before the block ends", b"retry:5\n", [], retry_ms=5),
    Case("the last valid retry counts", b"retry: 1\nretry: 20\nretry: x\n\n", [], retry_ms=20),
    Case("leading zeros", b"retry: 0005\n\nretry: 000\n\n", [], retry_ms=0),
    Case(
        "anything but ASCII digits is ignored",
        b"retry: 3000\nretry: 1000x\nretry: x\nretry: -1\nretry: +1\nretry: 1.5\nretry: 1e3\nretry:  7\n"
        b"retry: 7 \nretry: 1_0\nretry: 0x7\n" + "retry: ٣\nretry: ²\n".encode() + b"data: a\n\n",
        messages("a"),
        retry_ms=3000,
    ),
    Case(
        "an empty retry is ignored",
        b"retry: 3000\nretry\nretry:\nretry: \ndata: a\n\n",
        messages("a"),
        retry_ms=3000,
    ),
    # --- field names
    Case(
        "field names are exact",
        b"data: 1\nData: 2\nDATA: 3\ndata\0: 4\n\0data: 5\nda-ta: 6\ndata : 7\n"
        b" data: 8\ndata_9\n\tdata: 10\ndata: 11\n\n",
        messages("1\n11"),
    ),
    Case(
        "unknown fields are ignored",
        b"data: a\n data\ndata\nfoo: b\njust some text\n:data: c\nlastEventId: 9\ndata: d\n\n",
        messages("a\n\nd"),
    ),
    Case(
        "the encoding of the data holds for its block",
        b"encoding: base64\ndata: AAEC\n\ndata: AAEC\n\nencoding\ndata: x\n\n"
        b"encoding: base64\n\nencoding: x\nencoding:y\ndata: z\n\n",
        [message("AAEC", encoding="base64"), *messages("AAEC", "x"), message("z", encoding="y")],
    ),
    # --- spaces
    Case(
        "one leading space is dropped, a tab is kept",
        b"data:\ta\rdata: \ndata:  b \ndata:c\n\n",
        messages("\ta\n\n b \nc"),
    ),
    # --- line ends
    Case("LF", b"data: a\ndata: b\n\n", messages("a\nb")),
    Case("CR", b"data: a\rdata: b\r\rdata: c\r\r", messages("a\nb", "c")),
    Case("CRLF", b"data: a\r\ndata: b\r\n\r\ndata: c\r\n\r\n", messages("a\nb", "c")),
    Case("mixed", b"data: a\r\ndata\ndata: b\r\n\rdata: c\n\r\n", messages("a\n\nb", "c")),
    Case("CR then CRLF is two ends", b"data: a\r\r\ndata: b\n\n", messages("a", "b")),
    Case("LF then CR is two ends", b"data: a\n\rdata: b\n\n", messages("a", "b")),
    Case("blank lines alone", b"\n\r\r\n\n\n", []),
    Case("a last CR needs no LF", b"data: a\r\n\r", messages("a")),
    Case(
        "other Unicode separators end no line",
        "data: a\u2028b\u2029c\x85d\x0be\x0cf\x1eg\n\n".encode(),
        messages("a\u2028b\u2029c\x85d\x0be\x0cf\x1eg"),
    ),
    # --- UTF-8
    Case("UTF-8", "data: ok… é€😀\n\n".encode(), messages("ok… é€😀")),
    Case(
        "malformed bytes are replaced, one for each longest malformed part",
        b"data: \xff|\xc0\xaf|\xe2\x82|\xed\xa0\x80|\xf0\x9f\x98|\x80\n\n",
        messages("�|��|�|���|�|�"),
    ),
    Case("a line end cuts off a character", b"data: \xe2\x82\n\ndata: b\n\n", messages("�", "b")),
]


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
