"""A pytest plugin that keeps the test process from asking a name server: only localhost has an address."""

import functools
import socket
from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(autouse=True, scope="session")
def no_name_server() -> Iterator[None]:
    """Answer all other names as unknown, as a resolver does that has no such name."""
    resolve = socket.getaddrinfo

    @functools.wraps(resolve)
    def resolve_here(
        host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
    ) -> Any:
        if host not in (None, "localhost", b"localhost"):
            flags |= socket.AI_NUMERICHOST
        return resolve(host, port, family, type, proto, flags)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", resolve_here)
        yield
