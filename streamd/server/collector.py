"""Python's cyclic garbage collector, which is the main brake at thousands of connections.

By default it looks at young objects after every 700 allocations, and each look at the old ones passes
over all that every connection holds. Connections leave no cycles of ours behind, so that it finds next
to nothing: h11 leaves one after a request it cannot read, Quart-Trio one with each WebSocket.
``python -m bench run --scenario gc-1000 --scenario gc-10000`` measures both ways.
"""

import gc

from ..config import ServerSettings


def tune_collector(settings: ServerSettings) -> None:
    """Let the collector forget what the start has made, and look at the rest less often.

    Call it when everything is set up, before connections are accepted.
    """
    if settings.gc_tuning:
        gc.collect()
        gc.freeze()
        gc.set_threshold(settings.gc_threshold, 20, 100)
