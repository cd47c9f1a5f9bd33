"""The codecs of ``Forwarded`` (RFC 7239) and ``X-Forwarded-For``."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.proxies.forwarded import (
    ForwardedNode,
    parse_forwarded,
    parse_forwarded_for,
    parse_forwarded_node,
)
from streamd.proxies.networks import parse_address

TOKEN_CHARS = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
QUOTED_CHARS = "\t" + "".join(map(chr, [*range(0x20, 0x7F), *range(0x80, 0x100)]))
tokens = st.text(TOKEN_CHARS, min_size=1, max_size=8)
values = st.text(QUOTED_CHARS, max_size=12)
elements = st.lists(
    st.dictionaries(tokens.map(str.lower), values, min_size=1, max_size=4), min_size=1, max_size=4
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [  # the first ones are those of RFC 7239 sections 4 and 7.1
        ('for="_gazonk"', [{"for": "_gazonk"}]),
        ('For="[2001:db8:cafe::17]:4711"', [{"for": "[2001:db8:cafe::17]:4711"}]),
        (
            "for=192.0.2.60;proto=http;by=203.0.113.43",
            [{"for": "192.0.2.60", "proto": "http", "by": "203.0.113.43"}],
        ),
        ("for=192.0.2.43, for=198.51.100.17", [{"for": "192.0.2.43"}, {"for": "198.51.100.17"}]),
        (
            'for=192.0.2.43,for="[2001:db8:cafe::17]",for=unknown',
            [{"for": "192.0.2.43"}, {"for": "[2001:db8:cafe::17]"}, {"for": "unknown"}],
        ),
        ("", []),
        (" , ,", []),
        (";;for=a;;", [{"for": "a"}]),
        ("for=a; proto=https", [{"for": "a", "proto": "https"}]),
        (r'for="a\"b\\c,d;e=f"', [{"for": r'a"b\c,d;e=f'}]),
        ('for=""', [{"for": ""}]),
    ],
)
def test_forwarded_is_parsed_into_elements(text: str, expected: list[dict[str, str]]) -> None:
    assert parse_forwarded(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "192.0.2.1",
        "for",
        "for=",
        "=a",
        "for =a",
        "for= a",
        "for=a b",
        "for=a proto=http",
        'for="a',
        'for=a"',
        'for="a"b',
        'for="a\n"',
        "for=[::1]",  # a bracket is no character of a token
        "for=192.0.2.1:80",  # neither is a colon
        "for=a;for=b",
        "for=a;FOR=b",
        "for=a, {",
    ],
)
def test_malformed_forwarded_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_forwarded(text)


@given(elements)
def test_quoted_elements_are_read_as_they_were_written(written: list[dict[str, str]]) -> None:
    def quote(value: str) -> str:
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'

    text = ", ".join(";".join(f"{name}={quote(value)}" for name, value in each.items()) for each in written)
    assert parse_forwarded(text) == written


@given(st.text(st.characters(max_codepoint=0xFF), max_size=60) | st.text('for=",;\\ \ta1_[]:', max_size=60))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    for parse in (parse_forwarded, parse_forwarded_node, parse_forwarded_for):
        try:
            parse(text)
        except ValueError:
            pass


def node(address: str | None, port: int = 0) -> ForwardedNode:
    return ForwardedNode(None if address is None else ipaddress.ip_address(address), port)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.1", node("192.0.2.1")),
        ("192.0.2.1:80", node("192.0.2.1", 80)),
        ("192.0.2.1:_port", node("192.0.2.1")),
        ("[2001:db8::1]", node("2001:db8::1")),
        ("[2001:db8::1]:65535", node("2001:db8::1", 65_535)),
        ("[::ffff:192.0.2.1]", node("192.0.2.1")),
        ("unknown", node(None)),
        ("UNKNOWN:1", node(None, 1)),
        ("_hidden", node(None)),
        ("_SEVKISEK.a-b_c:80", node(None, 80)),
    ],
)
def test_nodes_of_forwarded(text: str, expected: ForwardedNode) -> None:
    assert parse_forwarded_node(text) == expected


MALFORMED_NODES = [
    "",
    " ",
    "_",
    "localhost",
    "192.0.2",
    "192.0.2.01",
    "192.0.2.1:",
    "192.0.2.1:65536",
    "192.0.2.1:123456",
    "192.0.2.1:+1",
    "192.0.2.1:80:80",
    "[2001:db8::1",
    "2001:db8::1]",
    "[2001:db8::1]80",
    "[fe80::1%eth0]",
    "[]",
    "192.0.2.1\u0660",
]


@pytest.mark.parametrize("text", [*MALFORMED_NODES, "2001:db8::1", "[192.0.2.1.1]"])
def test_malformed_nodes_of_forwarded_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_forwarded_node(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.1", node("192.0.2.1")),
        ("192.0.2.1:80", node("192.0.2.1", 80)),
        ("2001:db8::1", node("2001:db8::1")),
        ("[2001:db8::1]:80", node("2001:db8::1", 80)),
        ("::ffff:192.0.2.1", node("192.0.2.1")),
        ("unknown", node(None)),
    ],
)
def test_elements_of_x_forwarded_for(text: str, expected: ForwardedNode) -> None:
    assert parse_forwarded_for(text) == expected


@pytest.mark.parametrize("text", MALFORMED_NODES)
def test_malformed_elements_of_x_forwarded_for_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_forwarded_for(text)


@given(st.ip_addresses(), st.integers(0, 65_535))
def test_every_address_is_a_node(address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int) -> None:
    text = f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"
    expected = ForwardedNode(parse_address(str(address)), port)
    assert parse_forwarded_node(text) == parse_forwarded_for(text) == expected
    assert parse_forwarded_for(str(address)) == ForwardedNode(expected.address)
