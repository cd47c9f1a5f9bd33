"""The sentiment dashboard: items are posted one by one, and each dashboard receives each item."""

import time
from typing import Final

from ..figures import Figures, of_deliveries
from ..load import Load
from ..peers import Peer
from .base import LATENCIES, Ratio, Scenario, setup_for
from .followers import Delivery, Followers, count, quantiles
from .service import MEMORY, SQLITE, JSONConnection, paced

_TICKERS: Final = ("ACME", "GLOBEX", "INITECH", "UMBRELLA")
_TEXT: Final = "A very good quarter, although the outlook is a little weaker than many had hoped for"


def measure_sentiment(peer: Peer, load: Load) -> Figures:
    """Post items, each with the time of its request in its id.

    Raises:
        RuntimeError: something failed.
    """
    with peer.start(setup_for(load)) as server, JSONConnection(server, load.deadline_seconds) as api:
        _post(api, "0-warm-up", 0)  # loads modules that are imported on first use
        paths = ["/api/v2/stream"] * load.clients
        with Followers(server, paths, load.deadline_seconds) as followers:
            followers.connected()
            time.sleep(load.settle_seconds)
            before = server.sample()
            began_ns = time.monotonic_ns()
            item_ids, answered_ms = [], []
            for number in paced(load.events, load.rate, time.monotonic()):
                sent_ns = time.monotonic_ns()
                item_ids.append(_post(api, f"{number}-{sent_ns}", number))
                answered_ms.append((time.monotonic_ns() - sent_ns) / 1e6)
            followers.until(f'"item_id":"{item_ids[-1]}"')
            seen = followers.done()
            after = server.sample()
    outcome = count(seen.clients, [item_ids] * load.clients, _item_id, _delay_ms, seen.cpu_seconds)
    return {
        **of_deliveries(outcome, began_ns, after.cpu_seconds - before.cpu_seconds),
        **quantiles("answered", answered_ms),
        "reader_cpu_us_per_delivery": seen.cpu_seconds / outcome.deliveries * 1e6,
    }


def _post(api: JSONConnection, item_id: str, number: int) -> str:
    item = {"ticker": _TICKERS[number % len(_TICKERS)], "text": _TEXT, "item_id": item_id}
    answer = api.call("POST", "/api/v2/items", {"items": [item]})
    if answer["accepted"] != 1:
        raise RuntimeError(f"an item was not accepted: {answer}")
    return str(answer["item_ids"][0])


def _item_id(event: Delivery) -> str | None:
    return event.data["item_id"] if event.type == "new_item" else None


def _delay_ms(event: Delivery) -> float:
    return (event.read_ns - int(event.data["item_id"].partition("-")[2])) / 1e6


SENTIMENT: Final = Scenario(
    name="sentiment",
    title="100 dashboards, 20 items a second for 20 s, each its own POST",
    load=Load(clients=100, events=400, rate=20.0),
    quick=Load(clients=20, events=20, rate=40.0, settle_seconds=0.1),
    measure=measure_sentiment,
    columns=("cpu_us_per_delivery", "deliveries_per_second", *LATENCIES),
    ratios=(Ratio("latency_p99_ms", "streamd memory"),),
    all_peers=(SQLITE, MEMORY),
)
