"""The codec of the PROXY protocol, with the examples of its specification."""

import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.proxies import ProxyHeader, parse_proxy_header
from streamd.proxies.header import HEADER_BYTES_MAX

SIGNATURE = b"\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a"  # section 2.2
REQUEST = b"GET / HTTP/1.1\r\nHost: 192.168.0.11\r\n\r\n"  # section 2.1
LONGEST_6 = b"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
LONGEST_TCP6 = b"PROXY TCP6 %s %s 65535 65535\r\n" % (LONGEST_6, LONGEST_6)  # section 2.1, "worst case"
LONGEST_UNKNOWN = LONGEST_TCP6.replace(b"TCP6", b"UNKNOWN")
ADDRESSES_4 = bytes([192, 168, 0, 1, 192, 168, 0, 11]) + struct.pack("!HH", 56324, 443)
ADDRESSES_6 = bytes.fromhex("20010db8000000000000000000000001") * 2 + struct.pack("!HH", 1, 2)
TLV_NOOP = b"\x04\x00\x02xx"
TLV_SSL = b"\x20" + struct.pack("!HBI", 5, 0x01, 0)
TLV_PLAIN = b"\x20" + struct.pack("!HBI", 5, 0x00, 1)

ports = st.integers(0, 65_535)


def version_2(command: int, family: int, body: bytes = b"") -> bytes:
    return SIGNATURE + bytes([command, family]) + struct.pack("!H", len(body)) + body


def named(host: str, port: int, *, is_tls: bool = False) -> tuple[tuple[str, int], bool]:
    return (host, port), is_tls


NAMELESS = (None, False)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n", named("192.168.0.1", 56324)),
        (b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", named("255.255.255.255", 65535)),
        (LONGEST_TCP6, named("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535)),
        (b"PROXY TCP6 2001:DB8:0::1 ::1 0 0\r\n", named("2001:db8::1", 0)),
        (b"PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n", named("192.0.2.1", 1)),
        (b"PROXY UNKNOWN\r\n", NAMELESS),
        (LONGEST_UNKNOWN, NAMELESS),
        (b"PROXY UNKNOWN anything at all\r\n", NAMELESS),
        (version_2(0x21, 0x11, ADDRESSES_4), named("192.168.0.1", 56324)),
        (version_2(0x21, 0x11, ADDRESSES_4 + TLV_NOOP), named("192.168.0.1", 56324)),
        (version_2(0x21, 0x11, ADDRESSES_4 + TLV_SSL), named("192.168.0.1", 56324, is_tls=True)),
        (version_2(0x21, 0x11, ADDRESSES_4 + TLV_PLAIN), named("192.168.0.1", 56324)),
        (version_2(0x21, 0x21, ADDRESSES_6), named("2001:db8::1", 1)),
        (version_2(0x21, 0x00), NAMELESS),
        (version_2(0x21, 0x00, b"ignored"), NAMELESS),
        (version_2(0x21, 0x12, ADDRESSES_4), NAMELESS),  # UDP
        (version_2(0x21, 0x31, bytes(216)), NAMELESS),  # a Unix socket
        (version_2(0x20, 0x00), NAMELESS),
        (version_2(0x20, 0x11, ADDRESSES_4), NAMELESS),  # LOCAL
        (version_2(0x20, 0xFF, b"ignored"), NAMELESS),
    ],
)
def test_headers_are_read_whole_and_byte_by_byte(
    header: bytes, expected: tuple[tuple[str, int] | None, bool]
) -> None:
    for length in range(len(header)):
        assert parse_proxy_header(header[:length]) is None, length
    for data in (header, header + REQUEST, header + header):
        assert parse_proxy_header(data) == ProxyHeader(*expected, size=len(header))


@pytest.mark.parametrize(
    "data",
    [
        REQUEST,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01",  # TLS
        b"PROXYING\r\n",
        b"PROXY \r\n",
        b"PROXY TCP4\r\n",
        b"PROXY TCP5 192.0.2.1 192.0.2.2 1 2\r\n",
        b"proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        b"PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 65536 2\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 -1 2\r\n",
        b"PROXY TCP4 192.0.2.01 192.0.2.2 1 2\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2 1 2\r\n",
        b"PROXY TCP4 ::1 ::1 1 2\r\n",
        b"PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n\r\n",
        b"PROXY UNKNOWNS\r\n",
        b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n",  # one byte too long
        b"PROXY" + b" " * 102,
        SIGNATURE[:-1] + b"\r",
        version_2(0x11, 0x11, ADDRESSES_4),  # version 1 in the form of 2
        version_2(0x22, 0x11, ADDRESSES_4),
        version_2(0x21, 0x10, ADDRESSES_4),
        version_2(0x21, 0x13, ADDRESSES_4),
        version_2(0x21, 0x41, ADDRESSES_4),
        version_2(0x21, 0x11, ADDRESSES_4[:-1]),
        version_2(0x21, 0x21, ADDRESSES_6[:-1]),
        version_2(0x21, 0x31, bytes(215)),
        version_2(0x21, 0x11, ADDRESSES_4 + b"\x04"),
        version_2(0x21, 0x11, ADDRESSES_4 + b"\x04\x00\x02x"),
        version_2(0x21, 0x11, ADDRESSES_4 + b"\x20\x00\x04\x01\x00\x00\x00"),
        SIGNATURE + struct.pack("!BBH", 0x21, 0x11, HEADER_BYTES_MAX - 15),  # refused before it is received
    ],
)
def test_malformed_headers_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        parse_proxy_header(data)


@given(st.ip_addresses(v=4), st.ip_addresses(v=4), ports, ports, st.binary(max_size=40))
def test_version_1_round_trip(
    source: ipaddress.IPv4Address,
    destination: ipaddress.IPv4Address,
    source_port: int,
    port: int,
    rest: bytes,
) -> None:
    header = f"PROXY TCP4 {source} {destination} {source_port} {port}\r\n".encode()
    assert parse_proxy_header(header + rest) == ProxyHeader(
        (str(source), source_port), is_tls=False, size=len(header)
    )


@given(st.ip_addresses(v=6), ports, st.booleans(), st.binary(max_size=300), st.binary(max_size=40))
def test_version_2_round_trip(
    source: ipaddress.IPv6Address, port: int, is_tls: bool, note: bytes, rest: bytes
) -> None:
    tlvs = b"\x05" + struct.pack("!H", len(note)) + note + (TLV_SSL if is_tls else TLV_PLAIN)
    header = version_2(0x21, 0x21, source.packed + bytes(16) + struct.pack("!HH", port, 1) + tlvs)
    found = parse_proxy_header(header + rest)
    shown = str(source.ipv4_mapped or source)
    assert found == ProxyHeader((shown, port), is_tls=is_tls, size=len(header))


@given(
    st.binary(max_size=300)
    | st.binary(max_size=130).map(lambda rest: b"PROXY" + rest)
    | st.binary(max_size=300).map(lambda rest: SIGNATURE + rest)
)
def test_any_bytes_are_a_header_or_incomplete_or_refused(data: bytes) -> None:
    try:
        found = parse_proxy_header(data)
    except ValueError:
        return
    if found is not None:
        assert 0 < found.size <= len(data)
        assert parse_proxy_header(data[: found.size]) == found
