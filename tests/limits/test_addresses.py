"""The addresses under which clients are counted."""

import pytest

from streamd.limits import AddressCounting, caller_key, group_address
from streamd.proxies import TrustedProxies

PROXIES = TrustedProxies.create(["10.0.0.0/8", "2001:db8:ffff::/48"])


@pytest.mark.parametrize(
    ("address", "group", "is_counted"),
    [
        ("192.0.2.7", "192.0.2.7", True),
        ("::ffff:192.0.2.7", "192.0.2.7", True),
        ("::FFFF:c000:0207", "192.0.2.7", True),
        ("2001:db8:0:1::7", "2001:db8:0:1::/64", True),
        ("2001:db8:0:1:ffff:ffff:ffff:ffff", "2001:db8:0:1::/64", True),
        ("2001:db8:0:2::7", "2001:db8:0:2::/64", True),
        ("fe80::1%eth0", "fe80::/64", True),
        ("127.0.0.1", "127.0.0.1", False),
        ("127.8.9.1", "127.8.9.1", False),
        ("::1", "::/64", False),
        ("::ffff:127.0.0.1", "127.0.0.1", False),
        ("10.1.2.3", "10.1.2.3", False),
        ("::ffff:10.1.2.3", "10.1.2.3", False),
        ("2001:db8:ffff::1", "2001:db8:ffff::/64", False),
        ("", "", False),
        ("<local>", "<local>", False),
        ("/run/streamd.sock", "/run/streamd.sock", False),
        ("unix:/run/streamd.sock", "unix:/run/streamd.sock", False),
        ("1:2:3", "1:2:3", False),
    ],
)
def test_an_address(address: str, group: str, is_counted: bool) -> None:
    assert group_address(address) == group
    assert AddressCounting(PROXIES).is_counted(address) == is_counted


def test_a_user_is_known_by_its_name_wherever_it_is() -> None:
    assert caller_key("ann", "192.0.2.1") == caller_key("ann", "192.0.2.2") != caller_key("bob", "192.0.2.1")
    assert caller_key("", "2001:db8::1") == caller_key("", "2001:db8::2") != caller_key("", "2001:db8:1::1")


@pytest.mark.parametrize("user", ["192.0.2.1", "address:192.0.2.1"])
def test_no_user_has_the_account_of_an_address(user: str) -> None:
    assert caller_key(user, "") != caller_key("", "192.0.2.1")
