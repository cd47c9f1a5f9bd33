"""Tuning of Python's cyclic garbage collector, the main cost of thousands of connections.

By default it examines young objects after every 700 allocations, and each full collection traverses the
objects of all connections. It finds next to nothing: streamd's connections leave no cycles.
``python -m bench run --scenario gc-1000 --scenario gc-10000`` compares both settings.
"""

import gc
from typing import Final

from .settings import ServerSettings

_MIDDLE_THRESHOLD: Final = 2  # collections of young objects, before one that looks at all of these again
_FULL_THRESHOLD: Final = 8000  # such collections, before one that looks at everything


def tune_collector(settings: ServerSettings) -> None:
    """Exclude the objects of the start-up from collection, and collect the others less often.

    Call it when everything is set up, before connections are accepted.
    """
    if settings.gc_tuning:
        gc.collect()
        gc.freeze()
        gc.set_threshold(settings.gc_threshold, _MIDDLE_THRESHOLD, _FULL_THRESHOLD)
