"""Query strings are read as Python's ``parse_qs`` reads them."""

from urllib.parse import parse_qs, quote_plus, unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.http.percent import decode_percent
from streamd.http.query import parse_query
from streamd.http.targets import check_target
from tests.support.counted import count_instructions


@given(
    st.text(st.sampled_from("ab=&;+%2cF0é\N{SNOWMAN}\0 \n#?")).map(str.encode)
    | st.lists(st.tuples(st.text(), st.text())).map(
        lambda pairs: "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in pairs).encode(
            "ascii"
        )
    )
    | st.binary()
)
def test_a_query_is_read_as_by_the_standard_library(query: bytes) -> None:
    assert parse_query(query) == parse_qs(query.decode("utf-8", "replace"), keep_blank_values=True)


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        (b"topic=a&topic=b", {"topic": ["a", "b"]}),
        (b"topic=a%2Fb+c", {"topic": ["a/b c"]}),
        (b"topic", {"topic": [""]}),
        (b"&=&", {"": [""]}),
        (b"t=a=b", {"t": ["a=b"]}),
        (b"t=%zz%", {"t": ["%zz%"]}),
    ],
)
def test_parameters_are_split_and_decoded(query: bytes, wanted: dict[str, list[str]]) -> None:
    assert parse_query(query) == wanted


@given(st.binary() | st.text(st.sampled_from("%=2cF0_\r\n \0z")).map(str.encode))
def test_percent_encoded_bytes_are_decoded_as_by_the_standard_library(raw: bytes) -> None:
    assert decode_percent(raw) == unquote_to_bytes(raw)


def test_the_work_for_a_query_does_not_grow_with_its_encoded_characters() -> None:
    query = b"pattern=" + b"%2A%2F" * 1000
    assert count_instructions(lambda: parse_query(query)) < 500
    assert count_instructions(lambda: check_target({"query_string": query, "raw_path": b"/"})) < 500
