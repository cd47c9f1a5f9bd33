"""The publish rate: acknowledged events per second, without subscribers."""

import time
from typing import Final

from ..figures import Figures
from ..load import Load
from ..peers import Ability, Peer
from .base import Ratio, Scenario, setup_for

_EVENTS_AN_ARRAY: Final = 100
_EVENTS_AN_NDJSON_BODY: Final = 10_000


def measure_publish(peer: Peer, load: Load) -> Figures:
    """Publish ``load.events`` one by one, and ten times as many in each kind of body that the peer supports.

    Raises:
        Missing: the peer is not there.
        RuntimeError: it failed, or rejected an event.
    """
    payload = load.payload_bytes
    with peer.start(setup_for(load)) as server, server.publisher(load.deadline_seconds) as publisher:
        publisher.publish_each(
            range(10), payload_bytes=payload
        )  # loads modules that are imported on first use
        before = server.sample()
        began = time.monotonic()
        publisher.publish_each(range(load.events), payload_bytes=payload)
        figures = {"published_single_per_second": load.events / (time.monotonic() - began)}
        after = server.sample()
        figures["cpu_us_per_publish"] = (after.cpu_seconds - before.cpu_seconds) / load.events * 1e6
        many = load.events * 10
        for ability, name, size, publish in (
            (Ability.ARRAY, "array", _EVENTS_AN_ARRAY, publisher.publish_array),
            (Ability.NDJSON, "ndjson", _EVENTS_AN_NDJSON_BODY, publisher.publish_ndjson),
        ):
            if ability in peer.abilities:
                began = time.monotonic()
                for first in range(0, many, size):
                    publish(range(first, min(first + size, many)), payload_bytes=payload)
                figures[f"published_{name}_per_second"] = many / (time.monotonic() - began)
    return figures


PUBLISH: Final = Scenario(
    name="publish",
    title="events published a second on one connection, without subscribers",
    load=Load(events=3_000),
    quick=Load(events=200, settle_seconds=0.0),
    measure=measure_publish,
    columns=(
        "published_single_per_second",
        "cpu_us_per_publish",
        "published_array_per_second",
        "published_ndjson_per_second",
    ),
    ratios=(Ratio("published_single_per_second", "floor"), Ratio("published_single_per_second", "nchan")),
)
