"""The log's implementations, each as a factory that takes settings and a clock."""

from collections.abc import Callable

from streamd.log.memory import MemoryLog
from streamd.log.port import Log
from streamd.log.settings import LogSettings

Clock = Callable[[], int]
MakeLog = Callable[[LogSettings, Clock], Log]

LOGS: dict[str, MakeLog] = {"memory": MemoryLog}
NOON_MS = 1_700_000_000_000
