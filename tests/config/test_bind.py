"""Addresses to listen on."""

import pytest

from streamd.config import parse_bind


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
        ("unix:/run/streamd.sock", "port"),
    ],
)
def test_the_error_states_the_right_form(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_bind(text)
