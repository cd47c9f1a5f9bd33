"""Codec of the header of the PROXY protocol, versions 1 and 2 (HAProxy, proxy-protocol.txt). No I/O."""

import ipaddress
import re
import struct
from typing import Final

import attrs

from .networks import parse_address

HEADER_BYTES_MAX: Final = 4096
"""Maximum size of a header; that of version 2 grows with its TLVs, of which certificates are the largest."""

_V1_PREFIX: Final = b"PROXY"
_V1_BYTES_MAX: Final = 107  # section 2.1, with the line end
_V1_LINE: Final = re.compile(
    rb"PROXY (TCP4|TCP6) ([0-9A-Fa-f.:]+) ([0-9A-Fa-f.:]+) ([0-9]{1,5}) ([0-9]{1,5})"
)
_V1_UNKNOWN: Final = re.compile(rb"PROXY UNKNOWN(?: [^\r\n]*)?")
_V2_SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"  # section 2.2
_V2_START: Final = struct.Struct("!12sBBH")  # signature, version and command, family and protocol, length
_LOCAL: Final = 0x20
_PROXY: Final = 0x21
_ADDRESSES: Final = {
    0x11: (struct.Struct("!4s4sHH"), ipaddress.IPv4Address),  # TCP over IPv4
    0x21: (struct.Struct("!16s16sHH"), ipaddress.IPv6Address),  # TCP over IPv6
}
# Combinations that are valid, and do not name a client of TCP: they count as UNSPEC, with the size of theirs.
_UNSPEC_BYTES: Final = {0x00: 0, 0x12: 12, 0x22: 36, 0x31: 216, 0x32: 216}
_TLV_SSL: Final = 0x20
_CLIENT_SSL: Final = 0x01  # PP2_CLIENT_SSL: the client used TLS
_PORT_MAX: Final = 65_535


@attrs.frozen
class ProxyHeader:
    """The header in front of a connection.

    Attributes:
        source: address and port of the client; None if the header names none (LOCAL, UNSPEC, UNKNOWN), so
            that the peer itself is the client.
        is_tls: the proxy has ended the TLS of the client.
        size: of the header (bytes).
    """

    source: tuple[str, int] | None
    is_tls: bool
    size: int


def parse_proxy_header(data: bytes) -> ProxyHeader | None:
    """Parse the header at the beginning of a connection.

    Args:
        data: everything received so far.

    Returns:
        None if the header is not complete.

    Raises:
        ValueError: there is no header, or it is malformed or too large; the message is one for the log.
    """
    if data.startswith(_V2_SIGNATURE):
        return _parse_v2(data)
    if data.startswith(_V1_PREFIX):
        return _parse_v1(data)
    if _V2_SIGNATURE.startswith(data) or _V1_PREFIX.startswith(data):
        return None
    raise ValueError("the connection does not begin with a PROXY header")


def _parse_v1(data: bytes) -> ProxyHeader | None:
    end = data.find(b"\r\n", 0, _V1_BYTES_MAX)
    if end < 0:
        if len(data) >= _V1_BYTES_MAX:
            raise ValueError(f"the line of version 1 is longer than {_V1_BYTES_MAX} bytes")
        return None
    line, size = data[:end], end + 2
    if _V1_UNKNOWN.fullmatch(line):
        return ProxyHeader(None, is_tls=False, size=size)
    found = _V1_LINE.fullmatch(line)
    if found is None:
        raise ValueError("the line of version 1 is malformed")
    version = 4 if found[1] == b"TCP4" else 6
    source, _ = _parse_v1_address(found[2], version), _parse_v1_address(found[3], version)
    port, _ = _parse_v1_port(found[4]), _parse_v1_port(found[5])
    return ProxyHeader((source, port), is_tls=False, size=size)


def _parse_v1_address(text: bytes, version: int) -> str:
    try:
        parsed = ipaddress.ip_address(text.decode("ascii"))
    except ValueError:
        parsed = None
    if parsed is None or parsed.version != version:
        raise ValueError(f"the line of version 1 has an address that is not IPv{version}")
    return _canonical(str(parsed))


def _parse_v1_port(text: bytes) -> int:
    port = int(text)
    if port > _PORT_MAX or text != b"%d" % port:
        raise ValueError("the line of version 1 has a port that is no number from 0 to 65535")
    return port


def _parse_v2(data: bytes) -> ProxyHeader | None:
    if len(data) < _V2_START.size:
        return None
    _, command, family, length = _V2_START.unpack_from(data)
    size = _V2_START.size + length
    if command not in (_LOCAL, _PROXY):
        raise ValueError("the header of version 2 has an unknown version or command")
    if size > HEADER_BYTES_MAX:
        raise ValueError(f"the header of version 2 is larger than {HEADER_BYTES_MAX} bytes")
    if command == _PROXY and family not in _ADDRESSES and family not in _UNSPEC_BYTES:
        raise ValueError("the header of version 2 has an unknown address family or protocol")
    if len(data) < size:
        return None
    if command == _LOCAL:  # the family and everything behind it are to be ignored
        return ProxyHeader(None, is_tls=False, size=size)
    body = data[_V2_START.size : size]
    if family in _UNSPEC_BYTES:
        if length < _UNSPEC_BYTES[family]:
            raise ValueError("the header of version 2 is too short for its addresses")
        return ProxyHeader(None, is_tls=False, size=size)
    layout, kind = _ADDRESSES[family]
    if length < layout.size:
        raise ValueError("the header of version 2 is too short for its addresses")
    source, _, port, _ = layout.unpack_from(body)
    return ProxyHeader((_canonical(str(kind(source))), port), _is_tls(body[layout.size :]), size)


def _canonical(address: str) -> str:
    return str(parse_address(address))


def _is_tls(tlvs: bytes) -> bool:
    """Return True if the TLVs say that the client used TLS (section 2.2.6).

    Raises:
        ValueError: a TLV is cut off.
    """
    found = False
    while tlvs:
        end = 3 + int.from_bytes(tlvs[1:3], "big")
        if len(tlvs) < 3 or len(tlvs) < end:
            raise ValueError("the header of version 2 has a TLV that is cut off")
        if tlvs[0] == _TLV_SSL:
            if end < 8:  # client flags (1 byte) and the result of verification (4 bytes)
                raise ValueError("the header of version 2 has a malformed TLV of TLS")
            found = bool(tlvs[3] & _CLIENT_SSL)
        tlvs = tlvs[end:]
    return found
