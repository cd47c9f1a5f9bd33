"""Codecs of ``Forwarded`` (RFC 7239) and ``X-Forwarded-For``. They do no I/O."""

import re
from collections.abc import Mapping
from typing import Final

import attrs

from .networks import Address, parse_address

_TOKEN: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - RFC 9110 section 5.6.2
_QUOTED: Final = r'"((?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*)"'  # section 5.6.4
_PAIR: Final = re.compile(rf"({_TOKEN})=(?:({_TOKEN})|{_QUOTED})")
_SEPARATOR: Final = re.compile(r"[ \t]*([,;])[ \t]*")
_SPACE: Final = re.compile(r"[ \t]*")
_QUOTED_PAIR: Final = re.compile(r"\\(.)", re.DOTALL)
_UNKNOWN: Final = "unknown"
_OBFUSCATED: Final = re.compile(r"_[A-Za-z0-9._-]+")  # RFC 7239 section 6.3
# An IPv6 address without brackets has several colons; one colon separates the port.
_NODE: Final = re.compile(r"(\[([^\]]*)\]|[^:\[\]]*)(?::([^:]*))?")
_PORT: Final = re.compile(r"[0-9]{1,5}")
_PORT_MAX: Final = 65_535


@attrs.frozen
class ForwardedNode:
    """One end of a hop, as a proxy names it.

    Attributes:
        address: None if the proxy hides it: ``unknown``, or an obfuscated identifier.
        port: 0 if it is not named.
    """

    address: Address | None
    port: int = 0


def parse_forwarded(text: str) -> list[Mapping[str, str]]:
    """Parse one ``Forwarded`` field (RFC 7239 section 4).

    Spaces around ``;`` are accepted, which many proxies send.

    Returns:
        The parameters of each element by lower-case name, without quotes; empty elements are left out.

    Raises:
        ValueError: it is malformed, or an element has a parameter twice.
    """
    elements: list[Mapping[str, str]] = []
    pairs: dict[str, str] = {}
    at = _skip(_SPACE, text, 0)
    while at < len(text):
        if (pair := _PAIR.match(text, at)) is not None:
            name = pair[1].lower()
            if name in pairs:
                raise ValueError(f"an element has two parameters {name[:32]}")
            pairs[name] = pair[2] if pair[2] is not None else _QUOTED_PAIR.sub(r"\1", pair[3])
            at = _skip(_SPACE, text, pair.end())
            if at == len(text):
                break
        separator = _SEPARATOR.match(text, at)
        if separator is None:
            raise ValueError("an element is no list of parameters, name=value")
        if separator[1] == ",":
            if pairs:
                elements.append(pairs)
            pairs = {}
        at = separator.end()
    if pairs:
        elements.append(pairs)
    return elements


def _skip(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return at if found is None else found.end()


def parse_forwarded_node(text: str) -> ForwardedNode:
    """Parse a node of ``Forwarded`` (RFC 7239 section 6): an IPv6 address is in brackets.

    Raises:
        ValueError: it is malformed.
    """
    found = _NODE.fullmatch(text)
    if found is None:
        raise ValueError("a node is a name or an address with an optional port")
    port = _parse_port(found[3])
    if found[2] is None and (found[1].lower() == _UNKNOWN or _OBFUSCATED.fullmatch(found[1])):
        return ForwardedNode(None, port)
    address = _parse_header_address(found[1] if found[2] is None else found[2])
    return ForwardedNode(address, port)


def parse_forwarded_for(text: str) -> ForwardedNode:
    """Parse one element of ``X-Forwarded-For``: an address, which some proxies send with a port.

    Raises:
        ValueError: it is malformed.
    """
    if text.count(":") > 1 and not text.startswith("["):
        return ForwardedNode(_parse_header_address(text))
    return parse_forwarded_node(text)


def _parse_header_address(text: str) -> Address:
    address = None if "%" in text else parse_address(text)  # a zone has a meaning on one machine only
    if address is None:
        raise ValueError("a node has neither an address nor a known name")
    return address


def _parse_port(text: str | None) -> int:
    if text is None or _OBFUSCATED.fullmatch(text):
        return 0
    if _PORT.fullmatch(text) is None or int(text) > _PORT_MAX:
        raise ValueError("the port of a node is no number up to 65535")
    return int(text)
