"""Hypothesis strategies for events, event streams, and splits of a stream into pieces."""

from typing import Any

from hypothesis import strategies as st

from streamd.events import Draft, Event
from streamd.events.control import RESERVED_TYPES
from streamd.events.event import RETRY_MS_MAX
from streamd.events.ids import SEQUENCE_MAX, make_event_id
from streamd.events.settings import EventSettings
from tests.support.odd_texts import BIDI

LIMITS = EventSettings()

texts = st.text(max_size=60)
"""Any text that UTF-8 can encode, line ends and control characters included."""

identifiers = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"], exclude_characters=BIDI),
    min_size=1,
    max_size=30,
)
"""Any topic, event type or name."""

ids = st.builds(make_event_id, st.integers(0, 10**13 - 1), st.integers(0, SEQUENCE_MAX))
retries = st.none() | st.integers(0, RETRY_MS_MAX)
types = st.none() | identifiers.filter(lambda text: text not in RESERVED_TYPES)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=8,
)

binaries = st.binary(max_size=60)

hostile_texts = st.lists(
    st.sampled_from(
        [
            "\n",
            "\r",
            "\r\n",
            "\n\n",
            "id: 99",
            "event: gap",
            "retry: 1",
            "encoding: base64",
            "data: forged",
            ":",
            " ",
            "\0",
            "\ufeff",
        ]
    )
    | st.text(max_size=3),
    max_size=12,
).map("".join)
"""Text that would end its field and forge another if it were written unchanged."""


def drafts(data: st.SearchStrategy[Any] = texts | json_values | binaries) -> st.SearchStrategy[Draft]:
    return st.builds(
        Draft.create,
        identifiers | st.lists(identifiers, min_size=1, max_size=4),
        data,
        limits=st.just(LIMITS),
        type=types,
        retry_ms=retries,
        private=st.booleans(),
    )


def events(data: st.SearchStrategy[Any] = texts | json_values | binaries) -> st.SearchStrategy[Event]:
    return st.builds(Event.from_draft, drafts(data), ids)


_FRAGMENTS = [
    *(
        b"data",
        b"event",
        b"id",
        b"retry",
        b"encoding",
        b"Data",
        b":",
        b": ",
        b" ",
        b"x",
        b"7",
        b"12",
        b"-",
        b"\0",
    ),
    *(b"\n", b"\r", b"\r\n", b"\n\n", b"\r\r", b"\r\n\r\n"),
    *(
        b"data: a\n",
        b"encoding: base64\n",
        b"id: 7\n",
        b"id\r",
        b"retry: 12\r\n",
        b"event: tick\n",
        b": comment\n",
    ),
    *(b"\xef\xbb\xbf", "é€😀".encode(), b"\xff", b"\xe2\x82", b"\xed\xa0\x80", b"\xf0\x9f"),
]

streams = st.lists(st.sampled_from(_FRAGMENTS), max_size=40).map(b"".join)
"""Mixtures of fields, line ends, byte order marks, NULs, colons and broken UTF-8."""

any_streams = streams | st.binary(max_size=200)


@st.composite
def split(draw: st.DrawFn, source: st.SearchStrategy[bytes] = any_streams) -> list[bytes]:
    """Split a stream into pieces, some of them empty."""
    stream = draw(source)
    cuts = sorted(draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    return [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
