"""``httpx-sse``."""

import httpx
from httpx_sse import connect_sse

from tests.third_party.drivers.following import Follower, follow


def read(follower: Follower) -> None:
    """Read one response."""
    with (
        httpx.Client(timeout=60) as http,
        connect_sse(http, "GET", follower.url, headers=follower.headers) as source,
    ):
        if follower.begin(source.response.status_code, source.response.headers):
            for event in source.iter_sse():
                follower.receive(event.event, event.data, event.id, event.retry)


if __name__ == "__main__":
    follow(read, httpx.TransportError)
