"""Public addresses: the edges of each special-purpose block, and the addresses that embed IPv4."""

from ipaddress import IPv4Network, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.outbound import is_public_address
from streamd.outbound.addresses import NON_PUBLIC_IPV4, NON_PUBLIC_IPV6

# The first and the last address of a block, and the ones just outside: None where another block is adjacent.
IPV4_EDGES = [
    ("0.0.0.0", "0.255.255.255", None, "1.0.0.0"),
    ("10.0.0.0", "10.255.255.255", "9.255.255.255", "11.0.0.0"),
    ("100.64.0.0", "100.127.255.255", "100.63.255.255", "100.128.0.0"),
    ("127.0.0.0", "127.255.255.255", "126.255.255.255", "128.0.0.0"),
    ("169.254.0.0", "169.254.255.255", "169.253.255.255", "169.255.0.0"),
    ("172.16.0.0", "172.31.255.255", "172.15.255.255", "172.32.0.0"),
    ("192.0.0.0", "192.0.0.255", "191.255.255.255", "192.0.1.0"),
    ("192.0.2.0", "192.0.2.255", "192.0.1.255", "192.0.3.0"),
    ("192.88.99.0", "192.88.99.255", "192.88.98.255", "192.88.100.0"),
    ("192.168.0.0", "192.168.255.255", "192.167.255.255", "192.169.0.0"),
    ("198.18.0.0", "198.19.255.255", "198.17.255.255", "198.20.0.0"),
    ("198.51.100.0", "198.51.100.255", "198.51.99.255", "198.51.101.0"),
    ("203.0.113.0", "203.0.113.255", "203.0.112.255", "203.0.114.0"),
    ("224.0.0.0", "239.255.255.255", "223.255.255.255", None),
    ("240.0.0.0", "255.255.255.255", None, None),
]
ONES = "ffff:ffff:ffff:ffff:ffff:ffff"
IPV6_EDGES = [
    ("::", f"1fff:ffff:{ONES}", None, "2000::"),
    ("2001::", f"2001:1ff:{ONES}", f"2000:ffff:{ONES}", "2001:200::"),
    ("2001:db8::", f"2001:db8:{ONES}", f"2001:db7:{ONES}", "2001:db9::"),
    ("3fff::", f"3fff:fff:{ONES}", f"3ffe:ffff:{ONES}", "3fff:1000::"),
    ("4000::", f"7fff:ffff:{ONES}", f"3fff:ffff:{ONES}", None),
    ("8000::", f"ffff:ffff:{ONES}", None, None),
]
# Blocks with names of their own inside those above: first and last address.
NAMED_BLOCKS = {
    "unspecified": ("::", "::"),
    "loopback": ("::1", "::1"),
    "IPv4-compatible": ("::2", "::255.255.255.255"),
    "IPv4-translated": ("::ffff:0:0:0", "::ffff:0:255.255.255.255"),
    "local-use NAT64": ("64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff"),
    "discard-only": ("100::", "100::ffff:ffff:ffff:ffff"),
    "dummy prefix": ("100:0:0:1::", "100::1:ffff:ffff:ffff:ffff"),
    "Teredo": ("2001::", "2001:0:ffff:ffff:ffff:ffff:ffff:ffff"),
    "benchmarking": ("2001:2::", "2001:2:0:ffff:ffff:ffff:ffff:ffff"),
    "ORCHID": ("2001:10::", f"2001:1f:{ONES}"),
    "ORCHIDv2": ("2001:20::", f"2001:2f:{ONES}"),
    "segment routing": ("5f00::", f"5f00:ffff:{ONES}"),
    "unique local": ("fc00::", f"fdff:ffff:{ONES}"),
    "link-local": ("fe80::", f"febf:ffff:{ONES}"),
    "site-local": ("fec0::", f"feff:ffff:{ONES}"),
    "multicast": ("ff00::", f"ffff:ffff:{ONES}"),
}


@pytest.mark.parametrize(("first", "last", "before", "after"), IPV4_EDGES + IPV6_EDGES)
def test_a_block_is_refused_from_its_first_address_to_its_last(
    first: str, last: str, before: str | None, after: str | None
) -> None:
    assert [is_public_address(address) for address in (first, last)] == [False, False]
    assert all(is_public_address(address) for address in (before, after) if address is not None)


def test_every_block_has_its_edges_listed() -> None:
    assert [(str(block[0]), str(block[-1])) for block in NON_PUBLIC_IPV4] == [row[:2] for row in IPV4_EDGES]
    assert [(str(block[0]), str(block[-1])) for block in NON_PUBLIC_IPV6] == [row[:2] for row in IPV6_EDGES]


@pytest.mark.parametrize("name", NAMED_BLOCKS)
def test_named_blocks_are_refused(name: str) -> None:
    assert [is_public_address(address) for address in NAMED_BLOCKS[name]] == [False, False]


@pytest.mark.parametrize("embed", ["::ffff:{}", "64:ff9b::{}"])
@pytest.mark.parametrize(("first", "last", "before", "after"), IPV4_EDGES)
def test_an_embedded_address_decides(
    embed: str, first: str, last: str, before: str | None, after: str | None
) -> None:
    for address in (first, last, before, after):
        if address is not None:
            assert is_public_address(embed.format(address)) is (address in (before, after))


@pytest.mark.parametrize(("first", "last", "before", "after"), IPV4_EDGES)
def test_the_address_of_a_6to4_site_decides(
    first: str, last: str, before: str | None, after: str | None
) -> None:
    for address in (first, last, before, after):
        if address is not None:
            a, b, c, d = map(int, address.split("."))
            site = f"2002:{a:02x}{b:02x}:{c:02x}{d:02x}"
            assert is_public_address(f"{site}::") is (address in (before, after))
            assert is_public_address(f"{site}:ffff:ffff:ffff:ffff:ffff") is (address in (before, after))


@pytest.mark.parametrize(
    "address",
    ["::fffe:ffff:ffff", "::1:0:0:0", "64:ff9a:ffff:ffff:ffff:ffff:ffff:ffff", "64:ff9b::1:0:0"],
)
def test_just_outside_of_the_embedding_blocks_is_not_public(address: str) -> None:
    assert not is_public_address(address)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "2606:4700::1111", "2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2003::"]
)
def test_ordinary_addresses_are_public(address: str) -> None:
    assert is_public_address(address)


@pytest.mark.parametrize("address", ["fe80::1%eth0", "ff02::1%1"])
def test_a_zone_is_ignored(address: str) -> None:
    assert not is_public_address(address)


@pytest.mark.parametrize("text", ["", "localhost", "1.2.3", "0x7f000001", "::1::"])
def test_text_that_is_no_address_raises(text: str) -> None:
    with pytest.raises(ValueError, match="does not appear to be"):
        is_public_address(text)


@given(st.ip_addresses(v=4))
def test_only_listed_blocks_are_refused(address: object) -> None:
    listed = any(address in IPv4Network(str(block)) for block in NON_PUBLIC_IPV4)
    assert is_public_address(str(address)) is not listed


@given(st.sampled_from(sorted(NON_PUBLIC_IPV6)), st.integers(0, 2**128 - 1))
def test_every_address_of_a_listed_block_is_refused_or_embeds_another(block: IPv6Network, bits: int) -> None:
    address = block[bits % block.num_addresses]
    if address not in IPv6Network("::ffff:0:0/96") and address not in IPv6Network("64:ff9b::/96"):
        assert not is_public_address(str(address))
