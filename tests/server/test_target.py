"""Targets of requests: percent-encoded UTF-8; everything else is rejected."""

from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.server.target import RequestTarget, parse_target


@pytest.mark.parametrize(
    ("target", "wanted"),
    [
        (b"/events?topic=a", RequestTarget("/events", b"/events", b"topic=a")),
        (b"/", RequestTarget("/", b"/", b"")),
        (b"/a?b?c", RequestTarget("/a", b"/a", b"b?c")),
        (b"/a%20b%2Fc", RequestTarget("/a b/c", b"/a%20b%2Fc", b"")),
        (b"/100%?50%", RequestTarget("/100%", b"/100%", b"50%")),
        (b"/t%C3%BCr?a=%f0%9f%98%80", RequestTarget("/tür", b"/t%C3%BCr", b"a=%f0%9f%98%80")),
        (b"//host/path", RequestTarget("//host/path", b"//host/path", b"")),
    ],
)
def test_text_in_targets_is_percent_encoded_utf8(target: bytes, wanted: RequestTarget) -> None:
    assert parse_target(target) == wanted


@pytest.mark.parametrize("part", [b"%s", b"a?topic=%s"], ids=["path", "query"])
@pytest.mark.parametrize("bad", [b"%ff", b"%C3", b"%C0%AF", b"%ED%A0%80", b"%c3x"])
def test_text_that_is_no_utf8_is_rejected(part: bytes, bad: bytes) -> None:
    with pytest.raises(ValueError, match="must be UTF-8"):
        parse_target(b"/" + part % bad)


@pytest.mark.parametrize("target", [b"", b"*", b"a", b"?a", b"http://localhost/"])
def test_other_forms_are_rejected(target: bytes) -> None:
    with pytest.raises(ValueError, match="begins with a slash"):
        parse_target(target)


@pytest.mark.parametrize("part", [b"%s", b"a?topic=%s"], ids=["path", "query"])
@pytest.mark.parametrize("char", [b" ", b"\t", b"\x00", b"\x7f", b"#", b"\r", b"\n", b"\xff", "ü".encode()])
def test_characters_that_no_target_has_are_rejected(part: bytes, char: bytes) -> None:
    with pytest.raises(ValueError, match="percent-encoded ASCII"):
        parse_target(b"/" + part % char)


@given(st.text(), st.text())
def test_any_text_arrives_percent_encoded(path: str, query: str) -> None:
    parsed = parse_target(f"/{quote(path, safe='')}?{quote(query, safe='')}".encode())
    assert parsed.path == f"/{path}"
    assert unquote(parsed.query_string.decode(), errors="strict") == query
