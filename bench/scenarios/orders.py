"""Purchase orders: clients of one merchant follow orders through their stages."""

import time
from typing import Any, Final
from urllib.parse import quote

from ..figures import Figures, of_deliveries
from ..load import Load
from ..peers import Peer
from .base import LATENCIES, Scenario, setup_for
from .followers import Deliveries, Delivery, Followers, count, quantiles
from .service import MEMORY, SQLITE, JSONConnection, paced

_MERCHANT: Final = "bench"
_LINES: Final = 5
_POLL_SECONDS: Final = 0.5
_LAST_STAGE: Final = "status_update"
_ENDS: Final = ("completion", "error")
_PROCESSING_SECONDS: Final = 60.0  # timeout for all orders to pass their last stage


def make_order(number: int) -> dict[str, Any]:
    """Make an order of five lines with unique SKUs, so that all orders pass the same stages."""
    return {
        "orderNumber": f"PO-{number}",
        "currency": "USD",
        "lines": [
            {
                "sku": f"SKU-{number}-{line}",
                "description": f"Cotton shirt, blue, model {line}",
                "quantity": line + 1,
                "unitPrice": "12.50",
            }
            for line in range(_LINES)
        ],
    }


def measure_orders(peer: Peer, load: Load) -> Figures:
    """Post the orders, wait for their last stage, and compare each client's events with the log.

    Raises:
        RuntimeError: a part failed, or an order did not pass all stages.
    """
    query = f"merchantId={_MERCHANT}"
    with peer.start(setup_for(load)) as server, JSONConnection(server, load.deadline_seconds) as api:
        # The first order loads modules that are imported on first use.
        warm_up = api.call("POST", f"/api/purchase-orders?{query}", make_order(load.events))
        published = _events_of(api, "earliest", {warm_up["poId"]})
        cursor = published[-1]["id"]
        paths = [f"/api/realtime/events?{query}"] * load.clients
        with Followers(server, paths, load.deadline_seconds) as followers:
            followers.connected()
            time.sleep(load.settle_seconds)
            before = server.sample()
            began_ns = time.monotonic_ns()
            sent_ns: dict[str, int] = {}  # by order
            answered_ms = []
            for number in paced(load.events, load.rate, time.monotonic()):
                order, now_ns = make_order(number), time.monotonic_ns()
                accepted = api.call("POST", f"/api/purchase-orders?{query}", order)
                answered_ms.append((time.monotonic_ns() - now_ns) / 1e6)
                sent_ns[accepted["poId"]] = now_ns
            published = _events_of(api, cursor, set(sent_ns))
            followers.until(f"id: {published[-1]['id']}")
            seen = followers.done()
            after = server.sample()
    _check_stages(published, set(sent_ns))
    expected = [[event["id"] for event in published]] * load.clients
    outcome = count(seen.clients, expected, _id, seen.after_publishing_ms, seen.cpu_seconds)
    return {
        **of_deliveries(outcome, began_ns, after.cpu_seconds - before.cpu_seconds),
        **quantiles("answered", answered_ms),
        **quantiles("first_event", _first_events_ms(seen, sent_ns)),
        "events_per_order": len(published) / load.events,
        "reader_cpu_us_per_delivery": seen.cpu_seconds / outcome.deliveries * 1e6,
    }


def _events_of(api: JSONConnection, cursor: str, orders: set[str]) -> list[dict[str, Any]]:
    """Poll the merchant's events after a cursor until these orders have ended and no event follows."""
    topics = quote(f"merchant:{_MERCHANT}:*", safe="")
    events: list[dict[str, Any]] = []
    waiting = set(orders)
    deadline = time.monotonic() + _PROCESSING_SECONDS
    while time.monotonic() < deadline:
        path = f"/events/poll?pattern={topics}&after={cursor}&wait={_POLL_SECONDS}"
        answer = api.call("GET", path)
        cursor = answer["next"]
        events += answer["events"]
        waiting -= {
            event["data"]["poId"]
            for event in answer["events"]
            if event["type"] in _ENDS and event["data"]["stage"] == _LAST_STAGE
        }
        if not waiting and not answer["events"]:
            return events
    raise RuntimeError(f"{len(waiting)} of {len(orders)} orders have not passed their last stage")


def _check_stages(published: list[dict[str, Any]], orders: set[str]) -> None:
    """Check that all orders have the same events, because they are alike."""
    steps: dict[str, list[tuple[str, str, Any]]] = {order: [] for order in orders}
    for event in published:
        data = event["data"]
        steps[data["poId"]].append((event["type"], data["stage"], data.get("progress")))
    first, *others = steps.values()
    if any(type == "error" for type, _, _ in first) or any(each != first for each in others):
        raise RuntimeError("not all orders passed the same stages")


def _id(event: Delivery) -> str | None:
    return event.id if event.id and event.data else None


def _first_events_ms(seen: Deliveries, sent_ns: dict[str, int]) -> list[float]:
    """Return the delays from the request of an order to its first event, for each order and client."""
    delays = []
    for events in seen.clients:
        known: set[str] = set()
        for event in events:
            order = event.data.get("poId") if isinstance(event.data, dict) else None
            if order in sent_ns and order not in known:
                known.add(order)
                delays.append((event.read_ns - sent_ns[order]) / 1e6)
    return delays


ORDERS: Final = Scenario(
    name="orders",
    title="100 clients of one merchant, 2 orders of 5 lines a second for 20 s, some 40 events each",
    load=Load(clients=100, events=40, rate=2.0),
    quick=Load(clients=20, events=3, rate=4.0, settle_seconds=0.1),
    measure=measure_orders,
    columns=("cpu_us_per_delivery", "deliveries_per_second", *LATENCIES),
    all_peers=(SQLITE, MEMORY),
)
