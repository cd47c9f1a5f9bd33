"""Names under which a server may be addressed."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.http.hosts import AllowedHosts, split_host

OWN = "192.0.2.1"
LABELS = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=10)
NAMES = st.lists(LABELS, min_size=2, max_size=4).map(".".join)
PORTS = st.integers(1, 65_535)


def allow(names: list[str], host: str, *, bound: str = "127.0.0.1:8080", scheme: str = "http") -> bool:
    """Ask twice: the second answer may come from the names that are known."""
    hosts = AllowedHosts(names, [bound])
    answers = {hosts.allow(host.encode("latin1"), OWN, scheme) for _ in range(2)}
    assert len(answers) == 1
    return answers.pop()


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("localhost:8080", True),
        ("LocalHost:1", True),
        ("localhost.", True),
        ("app.localhost", True),
        ("a.b.localhost:8080", True),
        ("127.0.0.1", True),
        ("127.0.0.1:8080", True),
        ("127.8.8.8", True),
        ("[::1]", True),
        ("[::1]:8080", True),
        (OWN, True),
        (f"{OWN}:80", True),
        ("", False),
        (":8080", False),
        ("192.0.2.2", False),
        ("localhost.example", False),
        ("notlocalhost", False),
        ("127.0.0.1.example", False),
        ("::1", False),
        ("[::1", False),
        ("0.0.0.0", False),
        ("[::]", False),
        ("localhost:99999", False),
        ("localhost:port", False),
        ("user@localhost", False),
        ("localhost/", False),
        ("localhost?", False),
        ("localhost, evil.example", False),
        ("local\xe4host", False),
        ("evil.example", False),
        ("evil.example:8080", False),
    ],
)
@pytest.mark.parametrize("bound", ["127.0.0.1:8080", "0.0.0.0:8080", "[::]:8080", "[::1]:8080"])
def test_by_default_localhost_and_the_own_address_are_allowed(bound: str, host: str, expected: bool) -> None:
    assert allow([], host, bound=bound) is expected


def test_a_name_to_listen_on_is_allowed_by_default() -> None:
    assert allow([], "Events.internal:8080", bound="events.internal:8080")
    assert not allow([], "other.internal:8080", bound="events.internal:8080")


@pytest.mark.parametrize(
    ("name", "host", "expected"),
    [
        ("example.org", "example.org", True),
        ("example.org", "EXAMPLE.org.", True),
        ("Example.Org", "example.org:8080", True),
        ("example.org", "www.example.org", False),
        ("example.org", "example.org.evil.example", False),
        ("example.org:8080", "example.org:8080", True),
        ("example.org:8080", "example.org:8081", False),
        ("example.org:8080", "example.org", False),
        ("example.org:80", "example.org", True),
        ("*.example.org", "www.example.org", True),
        ("*.example.org", "a.b.example.org:8080", True),
        ("*.example.org", "example.org", False),
        ("*.example.org", "notexample.org", False),
        ("*.example.org:8443", "www.example.org:8443", True),
        ("*.example.org:8443", "www.example.org", False),
        ("[2001:db8::1]", "[2001:db8::1]:8080", True),
        ("[2001:db8::1]:8080", "[2001:db8::1]:8080", True),
        ("[2001:db8::1]:8080", "[2001:db8::1]", False),
        ("192.0.2.7", "192.0.2.7:8080", True),
        ("example.org", "localhost", False),
        ("example.org", OWN, False),
        ("example.org", "", False),
        ("*", "anything at all", True),
    ],
)
def test_names_are_exact_or_have_a_port_or_stand_for_all_below(name: str, host: str, expected: bool) -> None:
    assert allow([name], host) is expected


def test_the_port_of_tls_is_443() -> None:
    assert allow(["example.org:443"], "example.org", scheme="https")
    assert not allow(["example.org:443"], "example.org", scheme="http")


@given(NAMES, PORTS, NAMES, PORTS)
def test_a_name_with_a_port_allows_itself_alone(name: str, port: int, other: str, other_port: int) -> None:
    hosts = AllowedHosts([f"{name}:{port}"])
    assert hosts.allow(f"{name}:{port}".encode(), None, "http")
    same = (name, port) == (other, other_port)
    assert hosts.allow(f"{other}:{other_port}".encode(), None, "http") is same


@given(st.binary(max_size=40))
def test_any_bytes_are_allowed_or_not_and_never_fail(host: bytes) -> None:
    allowed = AllowedHosts([], ["127.0.0.1:8080"]).allow(host, OWN, "http")
    name, _ = split_host(host.decode("latin1").lower())
    assert not allowed or name == OWN or name.startswith("127.") or "localhost" in name or ":" in name


def test_only_allowed_names_are_remembered_and_not_without_bound() -> None:
    hosts = AllowedHosts(["*.example.org"])
    for number in range(2000):
        assert hosts.allow(b"%d.example.org" % number, None, "http")
        assert not hosts.allow(b"%d.example.com" % number, None, "http")
    assert hosts.remembered <= 256
