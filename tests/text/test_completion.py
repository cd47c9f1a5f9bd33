"""The codec of a completion's stream: in one piece, byte by byte, and with every defect of a server."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.text.completion import BrokenCompletion, Completion
from tests.support.json_texts import nested
from tests.support.model_server import DONE, chunk


def read(*parts: bytes, max_text_bytes: int = 10_000) -> tuple[str, str]:
    """Decode a stream; return its text and the error (empty without one)."""
    completion = Completion(max_text_bytes=max_text_bytes)
    text = ""
    try:
        for part in parts:
            completion.receive_data(part)
            while (piece := completion.next_text()) is not None:
                text += piece
        completion.receive_end()
        assert completion.next_text() is None
    except BrokenCompletion as broken:
        return text, broken.sentence
    return text, ""


def trickled(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


def say(*pieces: str) -> bytes:
    return b"".join(chunk({"content": piece}) for piece in pieces)


STREAMS = {
    "plain": (say("Hel", "lo") + DONE, "Hello", ""),
    "finish reason, no [DONE]": (say("Hello") + chunk({}, "stop"), "Hello", ""),
    "reason with the last piece": (chunk({"content": "Hello"}, "stop") + DONE, "Hello", ""),
    "what follows the end": (say("Hello") + DONE + say(" again") + b"data: {\n\n", "Hello", ""),
    "role, null, empty, usage, comment, event name": (
        chunk({"role": "assistant", "content": None})
        + b": still there\n\n"
        + say("", "Hello")
        + b'event: x\ndata: {"choices": [], "usage": {"total_tokens": 7}}\n\n'
        + DONE,
        "Hello",
        "",
    ),
    "reasoning is no text": (chunk({"reasoning_content": "hm"}) + say("Hello") + DONE, "Hello", ""),
    "multi-byte": (say("Grüße 🎉", " — ok") + DONE, "Grüße 🎉 — ok", ""),
    "CR LF": (say("Hello").replace(b"\n", b"\r\n") + DONE.replace(b"\n", b"\r\n"), "Hello", ""),
    "cut off": (say("Hello"), "Hello", "broke off"),
    "cut off within a chunk": (say("Hello") + say("world")[:-9], "Hello", "broke off"),
    "cut off at once": (b"", "", "broke off"),
    "malformed": (say("Hello") + b"data: {choices\n\n" + DONE, "Hello", "cannot be read"),
    "another shape": (say("Hello") + b'data: {"choices": 7}\n\n' + DONE, "Hello", "cannot be read"),
    "half a surrogate pair": (
        b'data: {"choices":[{"delta":{"content":"\\ud83d"}}]}\n\n',
        "",
        "cannot be read",
    ),
    "deeply nested": (b"data: " + b"[" * 20_000 + b"\n\n", "", "cannot be read"),
    "65 levels in an error": (b'data: {"error": ' + nested(64) + b"}\n\n", "", "cannot be read"),
    "64 levels in an error": (b'data: {"error": ' + nested(63) + b"}\n\n", "", "gave up"),
    "error object": (say("Hello") + b'data: {"error": {"message": "overloaded"}}\n\n', "Hello", "gave up"),
    "length limit": (say("Hello") + chunk({}, "length") + DONE, "Hello", "length limit"),
    "content filter": (say("Hello") + chunk({}, "content_filter") + DONE, "Hello", "content rules"),
    "no text": (chunk({"role": "assistant"}) + DONE, "", "no text"),
    "only white space": (say(" \n") + chunk({}, "stop"), " \n", "no text"),
}


@pytest.mark.parametrize("name", STREAMS)
def test_any_split_and_trailing_bytes_give_the_same_text(name: str) -> None:
    data, text, broken = STREAMS[name]
    for parts in ([data], trickled(data), [data[:7], data[7:]]):
        got_text, got_broken = read(*parts)
        assert got_text == text
        assert broken in got_broken
        assert bool(broken) == bool(got_broken)


def test_the_text_limit_counts_bytes() -> None:
    assert read(say("ää", "ä") + DONE, max_text_bytes=6) == ("äää", "")
    text, broken = read(say("ää", "ää") + DONE, max_text_bytes=6)
    assert text == "ää"
    assert "longer than 6 bytes" in broken


def test_text_of_the_maximum_size_fits_with_any_escapes() -> None:
    longest = "\x1f" * 100_000
    data = b'data: {"choices":[{"delta":{"content":"' + b"\\u001f" * 100_000 + b'"}}]}\n\n'
    assert read(data + DONE, max_text_bytes=100_000)[0] == longest


def test_an_endless_event_is_rejected() -> None:
    completion = Completion(max_text_bytes=10)
    with pytest.raises(BrokenCompletion, match="more than is taken"):
        for _ in range(1000):
            completion.receive_data(b"data: " + b"x" * 1000)
            completion.next_text()


@given(st.lists(st.text(max_size=20), max_size=10), st.data())
def test_any_text_survives_any_split(pieces: list[str], data: st.DataObject) -> None:
    stream = b"".join(
        b"data: " + msgspec.json.encode({"choices": [{"delta": {"content": piece}}]}) + b"\n\n"
        for piece in ["a", *pieces]
    )
    stream += DONE
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    parts = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert read(*parts) == ("a" + "".join(pieces), "")
