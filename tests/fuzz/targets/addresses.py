"""The client's address: headers of proxies, the PROXY protocol, URL prefixes."""

from typing import Any, Final

from streamd.proxies import FORWARDING, TrustedProxies, parse_prefix, parse_proxy_header, resolve_clients
from streamd.proxies.client import Walk, walk_forwarded, walk_forwarded_for
from streamd.proxies.forwarded import parse_forwarded, parse_forwarded_node
from streamd.proxies.header import ProxyHeader
from streamd.proxies.networks import parse_address
from tests.fuzz.target import Target, finish

_TRUSTED: Final = TrustedProxies.create(["10.0.0.0/8", "::1"])
_PEER: Final = ("10.0.0.1", 1)
_HOPS_MAX: Final = 32
_V2: Final = b"\r\n\r\n\x00\r\nQUIT\n"
_ADDRESS_WORDS: Final = (
    b"[2001:db8::1]:80",
    b"::ffff:10.0.0.1",
    b"10.0.0.2",
    b"unknown",
    b"_hidden",
    b"%eth0",
)
_HEADER_WORDS: Final = (
    b"for=",
    b"proto=https",
    b"by=",
    b'="',
    b"forwarded: ",
    b"x-forwarded-for: ",
    b"x-forwarded-proto: ",
    b"x-forwarded-prefix: /",
    *_ADDRESS_WORDS,
)


def _take_forwarded(data: bytes) -> None:
    text = data.decode("latin1")
    _check_walk(walk_forwarded(text.split("\n"), _PEER, _TRUSTED))
    try:
        elements = parse_forwarded(text)
    except ValueError:
        return
    assert parse_forwarded(",".join(";".join(map(_quote, each.items())) for each in elements)) == elements
    for value in (each["for"] for each in elements if "for" in each):
        try:
            node = parse_forwarded_node(value)
        except ValueError:
            continue
        assert 0 <= node.port <= 65535


def _quote(pair: tuple[str, str]) -> str:
    name, value = pair
    value = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'{name}="{value}"'


def _take_forwarded_for(data: bytes) -> None:
    _check_walk(walk_forwarded_for(data.decode("latin1").split("\n"), _PEER, _TRUSTED))


def _check_walk(walk: Walk) -> None:
    assert walk.client is not None
    assert parse_address(walk.client[0]) is not None
    assert len(walk.proxies) <= _HOPS_MAX
    for proxy in walk.proxies:
        assert _TRUSTED.trusts_peer((proxy, 0)), "the walk passed an address that is not trusted"


def _take_scope(data: bytes) -> None:
    """Resolve a scope: a line with the path, then lines with headers."""
    path, *lines = data.split(b"\n")
    headers = [(name, value.strip()) for name, _, value in (line.partition(b":") for line in lines)]
    scope: dict[str, Any] = {
        "type": "http",
        "scheme": "http",
        "path": "/" + path.decode("latin1"),
        "query_string": b"",
        "headers": headers,
        "client": _PEER,
    }
    sent: list[Any] = []
    finish(_resolve(scope, sent))
    assert parse_address(scope["client"][0]) is not None
    assert scope["scheme"] in ("http", "https")
    assert scope[FORWARDING]
    prefix = scope["root_path"]
    assert parse_prefix(prefix) == prefix
    assert scope["path"].startswith(prefix)
    assert all(b"\n" not in value for message in sent for _, value in message.get("headers", ()))


async def _resolve(scope: Any, sent: list[Any]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        pass

    async def send(message: Any) -> None:
        sent.append(message)

    await resolve_clients(app, ["10.0.0.0/8", "::1"], "/outer")(scope, None, send)


def _take_prefix(data: bytes) -> None:
    prefix = parse_prefix(data.decode("latin1"))
    if prefix:
        assert parse_prefix(prefix) == prefix
        assert prefix.startswith("/")
        assert "//" not in prefix
        assert prefix.isascii()


def _take_proxy_header(data: bytes) -> None:
    """Parse every beginning: the answer for the first that has one is that for all longer ones."""
    decided: ProxyHeader | str | None = None
    for end in range(len(data) + 1):
        found: ProxyHeader | str | None
        try:
            found = parse_proxy_header(data[:end])
        except ValueError as error:
            found = "refused"
            assert len(str(error)) <= 200
        if isinstance(found, ProxyHeader) and decided is None:
            assert found.size == end, "a header is known before its end, or after it"
        assert decided is None or isinstance(found, str) == isinstance(decided, str)
        if isinstance(decided, ProxyHeader):
            assert found == decided
        decided = found
    if isinstance(decided, ProxyHeader) and decided.source is not None:
        address, port = decided.source
        assert str(parse_address(address)) == address
        assert 0 <= port <= 65535


TARGETS: Final = {
    "forwarded": Target(
        _take_forwarded,
        (
            b'for=192.0.2.1;proto=https, for="[2001:db8::1]:80";by=10.0.0.2',
            b"for=unknown\nfor=10.0.0.2;host=a",
            b'for="_a\\"b:_p" , ,for=10.0.0.3',
        ),
        _HEADER_WORDS,
        512,
    ),
    "forwarded_for": Target(
        _take_forwarded_for,
        (b"192.0.2.1, 10.0.0.2", b"2001:db8::1, [::1]:80\n10.0.0.9:1", b"10.0.0.1," * 40),
        _ADDRESS_WORDS,
        512,
    ),
    "scope": Target(
        _take_scope,
        (
            b"outer\nx-forwarded-for: 192.0.2.1\nx-forwarded-proto: https\nx-forwarded-prefix: /a/b",
            b"outer/events\nforwarded: for=192.0.2.1;proto=https\nx-forwarded-for: 192.0.2.1",
            b"",
        ),
        _HEADER_WORDS,
        512,
    ),
    "prefix": Target(
        _take_prefix, (b"/realtime", b"/a/b.c/", b"/", b"/a/../b"), (b"/..", b"%2e", b"//"), 300
    ),
    "proxy_header": Target(
        _take_proxy_header,
        (
            b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\nGET /",
            b"PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n",
            b"PROXY UNKNOWN anything\r\n",
            _V2 + b"\x21\x11\x00\x0c" + b"\xc0\x00\x02\x01\x0a\x00\x00\x01\x00\x50\x01\xbb",
            _V2 + b"\x21\x11\x00\x14" + bytes(12) + b"\x20\x00\x05\x01\x00\x00\x00\x00",
            _V2 + b"\x21\x21\x00\x24" + bytes(36),
            _V2 + b"\x20\x00\x00\x02xx",
        ),
        (_V2, b"PROXY TCP4 ", b"PROXY TCP6 ", b"\r\n", b"\x21\x31\x00\xd8"),
        320,
    ),
}
