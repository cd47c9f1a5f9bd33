"""``websockets``, with the last event id in the query, because its users set it there."""

import json

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.sync.client import connect

from tests.third_party.drivers.following import Follower, follow


def read(follower: Follower) -> None:
    """Read one socket. Close code 1000 is the end of the stream."""
    url, _, query = follower.url.replace("http", "ws", 1).partition("?")
    if follower.last_event_id:
        rest = [part for part in query.split("&") if not part.startswith("last_event_id=")]
        query = "&".join([*rest, f"last_event_id={follower.last_event_id}"])
    try:
        with connect(f"{url}?{query}") as socket:
            follower.begin(200, {})
            for text in socket:
                message = json.loads(text)
                data = message.get("data")
                follower.receive(
                    message.get("control") or message.get("type", ""),
                    data if isinstance(data, str) else json.dumps(data),
                    message.get("id"),
                )
        follower.end("the server has closed the socket")
    except InvalidStatus as error:
        follower.begin(error.response.status_code, error.response.headers)


if __name__ == "__main__":
    follow(read, ConnectionClosed, InvalidHandshake, OSError)
