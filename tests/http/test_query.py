"""Query strings are read as Python's ``parse_qs`` reads them."""

from urllib.parse import parse_qs, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.http.query import parse_query


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
