"""``sseclient-py``, over ``requests``."""

import requests
from sseclient import SSEClient

from tests.third_party.drivers.following import Follower, follow


def read(follower: Follower) -> None:
    """Read one response. The library leaves out events without data, and so the positions in them."""
    with requests.get(follower.url, headers=follower.headers, stream=True, timeout=60) as response:
        if follower.begin(response.status_code, response.headers):
            for event in SSEClient(response.iter_content(chunk_size=None)).events():
                retry_ms = None if event.retry is None else int(event.retry)
                follower.receive(event.event, event.data, event.id, retry_ms)


if __name__ == "__main__":
    follow(read, requests.RequestException)
