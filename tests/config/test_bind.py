"""Addresses to listen on."""

import pytest

from streamd.config import parse_bind, parse_unix_bind, unix_bind


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("127.0.0.1:8080", ("127.0.0.1", 8080)),
        ("localhost:0", ("localhost", 0)),
        ("[::1]:65535", ("::1", 65535)),
        ("[::]:80", ("::", 80)),
    ],
)
def test_host_and_port_are_split(text: str, wanted: tuple[str, int]) -> None:
    assert parse_bind(text) == wanted


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("localhost", "HOST:PORT"),
        ("", "HOST:PORT"),
        (":8080", "write the host too"),
        ("[]:8080", "write the host too"),
        ("::1:8080", "brackets"),
        ("localhost:", "port"),
        ("localhost:http", "port"),
        ("localhost:65536", "port"),
        ("localhost:-1", "port"),
        ("localhost:٣", "port"),
        ("http://localhost:80", "IPv6 address in brackets|host must be"),
        ("a b:80", "host must be"),
        ("unix:/run/streamd.sock", "port"),  # see below
    ],
)
def test_the_error_states_the_right_form(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_bind(text)


@pytest.mark.parametrize("path", ["/run/streamd.sock", "/a b:c", "/ü", f"/{'x' * 106}"])
def test_a_unix_socket_has_a_path(path: str) -> None:
    assert parse_unix_bind(f"unix:{path}") == path
    assert parse_unix_bind(unix_bind(path)) == path


@pytest.mark.parametrize("text", ["127.0.0.1:80", "localhost:0", "", "unix", "/run/streamd.sock"])
def test_other_addresses_are_no_unix_sockets(text: str) -> None:
    assert parse_unix_bind(text) is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("unix:", "whole path"),
        ("unix:streamd.sock", "whole path"),
        ("unix:8080", "whole path"),
        ("unix:@streamd", "whole path"),
        ("unix:/run/", "whole path"),
        ("unix:/a\0b", "zero"),
        (f"unix:/{'x' * 107}", "107 bytes"),
        (f"unix:/{'ü' * 54}", "107 bytes"),
    ],
)
def test_the_error_of_a_unix_socket_states_the_right_form(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_unix_bind(text)
