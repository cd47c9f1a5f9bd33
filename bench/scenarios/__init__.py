"""The scenarios: the workloads of the benchmark, each with one table of results."""

from .base import Ratio, Scenario
from .connects import CONNECTS
from .fanout import (
    BURST,
    BURST_NDJSON,
    GC_1000,
    GC_10000,
    HTTP2,
    HTTP2_BURST,
    PACED_1000,
    PACED_10000,
    TLS,
    WEBSOCKET,
)
from .orders import ORDERS
from .posts import POSTS
from .publish import PUBLISH, PUBLISH_KEPT
from .replay import BESIDE_REPLAY, REPLAY, REPLAY_ONE
from .sentiment import SENTIMENT
from .stalled import STALLED
from .storm import STORM, STORM_5000
from .tasks import TASKS, TASKS_MANY

__all__ = ["SCENARIOS", "Ratio", "Scenario"]

# In running order.
SCENARIOS: tuple[Scenario, ...] = (
    PACED_1000,
    PACED_10000,
    BURST,
    BURST_NDJSON,
    HTTP2,
    HTTP2_BURST,
    TLS,
    WEBSOCKET,
    REPLAY,
    REPLAY_ONE,
    BESIDE_REPLAY,
    POSTS,
    PUBLISH,
    PUBLISH_KEPT,
    CONNECTS,
    STORM,
    STORM_5000,
    STALLED,
    GC_1000,
    GC_10000,
    TASKS,
    TASKS_MANY,
    ORDERS,
    SENTIMENT,
)
