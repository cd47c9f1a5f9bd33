"""``requests`` alone: the lines of an event stream, read by hand."""

import requests

from tests.third_party.drivers.following import Follower, follow


def read(follower: Follower) -> None:
    """Read one response. ``iter_lines`` decodes with its charset, and takes its chunks as they come."""
    with requests.get(follower.url, headers=follower.headers, stream=True, timeout=60) as response:
        if not follower.begin(response.status_code, response.headers):
            return
        fields: dict[str, str] = {}
        for line in response.iter_lines(chunk_size=None, decode_unicode=True):
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
                continue
            retry_ms = int(fields["retry"]) if "retry" in fields else None
            follower.receive(fields.get("event", ""), fields.get("data", ""), fields.get("id"), retry_ms)
            fields = {}


if __name__ == "__main__":
    follow(read, requests.RequestException)
