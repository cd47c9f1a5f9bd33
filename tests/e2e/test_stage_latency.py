"""The delay from a stage of an order to the clients of its merchant, with the store in SQLite."""

import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from bench.peers import Setup
from bench.scenarios.followers import Followers
from bench.scenarios.orders import make_order
from bench.scenarios.service import SQLITE, JSONConnection, paced
from tests.support.orders_rig import ORDERS, REALTIME
from tests.support.recorded_events import Event, derive

MERCHANT = "acme"
CLIENTS = 100
SENT = 12  # orders, each with some 40 events for every client
SENT_PER_SECOND = 2.0
P99_MS = 100
SECONDS = 50  # timeout


@pytest.mark.soak
def test_p99_from_a_stage_to_100_clients_is_under_100_ms_with_sqlite() -> None:
    with SQLITE.start(Setup(connections=2 * CLIENTS)) as server, JSONConnection(server, SECONDS) as api:
        # The first order loads modules that are imported on first use.
        cursor = until_ended(api, "earliest", {send_order(api, SENT)})[-1]["id"]
        with Followers(server, [f"{REALTIME}?merchantId={MERCHANT}"] * CLIENTS, SECONDS) as followers:
            followers.connected()
            sent = [send_order(api, number) for number in paced(SENT, SENT_PER_SECOND, time.monotonic())]
            published = until_ended(api, cursor, set(sent))
            followers.until(f"id: {published[-1]['id']}")
            seen = followers.done()
        changed_ms = {
            event["id"]: at_ms for po_id in sent for event, at_ms in changes_of(api, po_id, published)
        }
    delays_ms: list[float] = []
    for events in seen.clients:
        received = [event for event in events if event.id and event.data]
        assert [event.id for event in received] == [event["id"] for event in published]
        delays_ms += [
            (event.read_ns + seen.wall_offset_ns) / 1e6 - changed_ms[event.id] for event in received
        ]
    p50, p99 = (sorted(delays_ms)[len(delays_ms) * percent // 100] for percent in (50, 99))
    print(f"{len(delays_ms)} deliveries: p50 {p50:.1f} ms, p99 {p99:.1f} ms, max {max(delays_ms):.1f} ms")  # noqa: T201
    assert p99 < P99_MS


def send_order(api: JSONConnection, number: int) -> str:
    """Send an order, and return its id."""
    accepted = api.call("POST", f"{ORDERS}?merchantId={MERCHANT}", make_order(number))
    return str(accepted["poId"])


def until_ended(api: JSONConnection, cursor: str, orders: set[str]) -> list[dict[str, Any]]:
    """Return the merchant's events after a cursor, up to the last one of these orders."""
    events: list[dict[str, Any]] = []
    while orders:
        answer = api.call("GET", f"/events/poll?pattern=merchant:{MERCHANT}:*&after={cursor}&wait={SECONDS}")
        assert answer["events"], f"{orders} have not ended"
        cursor = answer["next"]
        for event in answer["events"]:
            events.append(event)
            assert event["type"] != "error", event
            if (event["type"], event["data"]["stage"]) == ("completion", "status_update"):
                orders.remove(event["data"]["poId"])
    return events


def changes_of(
    api: JSONConnection, po_id: str, published: list[dict[str, Any]]
) -> Iterator[tuple[dict[str, Any], float]]:
    """Yield the events of an order, each with the time of the change that it reports (ms since 1970).

    The time is that of the task's message: before the change was stored.
    """
    task_id = po_id.removeprefix("po-")
    answer = api.call("GET", f"/events/poll?topic=tasks/{task_id}&after=earliest&wait=0")
    messages = [Event((), message["type"], message["data"]) for message in answer["events"]]
    events = [event for event in published if event["data"]["poId"] == po_id]
    for event, (row, derived) in zip(events, derive(task_id, MERCHANT, messages), strict=True):
        assert (event["type"], event["data"]) == (derived.type, derived.data)
        changed = datetime.fromisoformat(messages[row.version - 1].data["timestamp"])
        yield event, 1000 * changed.timestamp()
