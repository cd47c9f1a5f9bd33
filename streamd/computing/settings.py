"""Settings of worker processes."""

import attrs

from ..config import INT32_MAX, at_least, at_most, not_negative, positive, tuning


@attrs.frozen(kw_only=True)
class ComputingSettings:
    """Worker processes, which read large texts of the services."""

    processes: int = tuning(
        2,
        "Maximum number of processes that read large texts: orders, items to score, mentions to analyse and "
        "profiles of strategies; they start when there is one, and end when there is none for a minute "
        "(count). 0: threads of the server read all texts.",
        not_negative,
        at_most(64),
    )
    max_cpu_seconds: float = tuning(
        30.0,
        "Maximum computing time that a process may spend on one text (s). Then the process is ended, and the "
        "text is rejected.",
        positive,
    )
    max_memory_bytes: int = tuning(
        536_870_912,
        "Maximum size of the memory of such a process (bytes). A text that needs more is rejected.",
        at_least(134_217_728),
    )
    max_waiting: int = tuning(
        100,
        "Maximum number of texts of one kind that wait for a process (count). Further ones are rejected with "
        "503.",
        positive,
        at_most(INT32_MAX),
    )
