"""Networks of trusted proxies, and URL prefixes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.proxies import TrustedProxies, parse_network, parse_prefix


@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        ("10.1.2.3", True),
        ("11.0.0.0", False),
        ("::ffff:10.1.2.3", True),
        ("127.0.0.1", True),
        ("127.0.0.2", False),
        ("::1", True),
        ("::2", False),
        ("fe80::1%eth0", True),
        ("fe81::1", False),
        ("<local>", False),
        ("testclient", False),
    ],
)
def test_peers_in_a_network_are_trusted(peer: str, expected: bool) -> None:
    trusted = TrustedProxies.create(["10.0.0.0/8", "127.0.0.1", "::1", "fe80::/16"])
    assert trusted.trusts_peer((peer, 1)) is expected


@pytest.mark.parametrize("peer", [None, ("", 0)])
def test_peers_without_an_address_are_those_of_unix_sockets(peer: tuple[str, int] | None) -> None:
    assert TrustedProxies.create(["unix"]).trusts_peer(peer)
    assert not TrustedProxies.create(["0.0.0.0/0", "::/0"]).trusts_peer(peer)


def test_nobody_is_trusted_without_networks() -> None:
    trusted = TrustedProxies.create([])
    assert not trusted
    assert not trusted.trusts_peer(("127.0.0.1", 1))


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("10.0.0.1/8", "write 10.0.0.0/8"),
        ("2001:db8::1/32", "write 2001:db8::/32"),
        ("localhost", "10.0.0.0/8"),
        ("", "10.0.0.0/8"),
        ("10.0.0.0/33", "10.0.0.0/8"),
        ("*", "10.0.0.0/8"),
        ("UNIX", '"unix"'),
    ],
)
def test_an_error_states_the_right_form(text: str, right: str) -> None:
    with pytest.raises(ValueError, match="write") as caught:
        parse_network(text)
    assert right in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/a", "/a"),
        ("/a/", "/a"),
        ("/a/b-c_d.e~f", "/a/b-c_d.e~f"),
        ("/", ""),
        ("/...", "/..."),
        ("/" + "a" * 255, "/" + "a" * 255),
    ],
)
def test_prefixes(text: str, expected: str) -> None:
    assert parse_prefix(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "//",
        "//evil.example",
        "/a//b",
        "/a//",
        "/..",
        "/a/../b",
        "/a/.",
        "/a\r\nSet-Cookie: x",
        "/a\x00",
        "/a b",
        "/a?b",
        "/a#b",
        "/a%2f",
        "/a\\b",
        "/a,/b",
        "/ä",
        "https://evil.example",
        "/a\n",
        "/" + "a" * 256,
    ],
)
def test_unsafe_prefixes_are_refused(text: str) -> None:
    assert parse_prefix(text) is None


@given(st.text("/.a\\%\n ", max_size=12))
def test_a_prefix_is_a_path_of_this_server_only(text: str) -> None:
    prefix = parse_prefix(text)
    if prefix:
        assert prefix[0] == "/" != prefix[1]
        assert not prefix.endswith("/")
        assert not {"", ".", ".."}.intersection(prefix.split("/")[1:])
        assert parse_prefix(prefix) == prefix
