"""Targets of requests: printable ASCII that begins with a slash; everything else is rejected."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.server.target import check_target


@pytest.mark.parametrize(
    "target",
    [b"/events?topic=a", b"/", b"/a?b?c", b"/a%20b%2Fc", b"/100%?50%", b"//host/path", b"/%ff?a=%C3"],
)
def test_printable_ascii_is_a_target(target: bytes) -> None:
    check_target(target)


@pytest.mark.parametrize("target", [b"", b"*", b"a", b"?a", b"http://localhost/"])
def test_other_forms_are_rejected(target: bytes) -> None:
    with pytest.raises(ValueError, match="begins with a slash"):
        check_target(target)


@pytest.mark.parametrize("part", [b"%s", b"a?topic=%s"], ids=["path", "query"])
@pytest.mark.parametrize("char", [b" ", b"\t", b"\x00", b"\x7f", b"#", b"\r", b"\n", b"\xff", "ü".encode()])
def test_characters_that_no_target_has_are_rejected(part: bytes, char: bytes) -> None:
    with pytest.raises(ValueError, match="percent-encoded ASCII"):
        check_target(b"/" + part % char)


@given(st.text(), st.text())
def test_any_text_may_be_percent_encoded(path: str, query: str) -> None:
    check_target(f"/{quote(path, safe='')}?{quote(query, safe='')}".encode())
