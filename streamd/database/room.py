"""The room of a storage: the size of what it keeps, and the bound from which on it takes no more."""

from collections.abc import Callable
from typing import Final

import structlog

from ..errors import InsufficientStorage

_RETRY_AFTER_SECONDS: Final = 5.0
_ROOM_AGAIN: Final = 15 / 16  # of the bound: a storage at its bound is not reported twice a second

_log = structlog.get_logger(__name__)


class StorageRoom:
    """The size of what a storage keeps, and its bound.

    Only what adds much asks for room. So tasks end, events are published and old data is deleted beyond the
    bound, too: each of these has bounds of its own.

    Args:
        name: of the storage, for the log.
        max_bytes: the bound (bytes); 0 for none.

    Attributes:
        used_bytes: the size, as of the last transaction (bytes).
        count_refusal: called with each refusal, in any thread.
    """

    def __init__(self, name: str, max_bytes: int = 0) -> None:
        self.max_bytes = max_bytes
        self.used_bytes = 0
        self.count_refusal: Callable[[], None] = lambda: None
        self._name = name
        self._is_full = False

    @property
    def fill(self) -> float:
        """The used part of the bound; more than 1 beyond it, 0 without one."""
        return self.used_bytes / self.max_bytes if self.max_bytes else 0.0

    def note(self, used_bytes: int) -> None:
        """Take the present size, and log when the bound is reached, and when there is room again."""
        self.used_bytes = used_bytes
        if self._is_full != (self.fill >= (_ROOM_AGAIN if self._is_full else 1)):
            self._is_full = not self._is_full
            log, event = (
                (_log.error, "storage_full") if self._is_full else (_log.info, "storage_has_room_again")
            )
            log(event, storage=self._name, used_bytes=used_bytes, max_bytes=self.max_bytes)

    def check(self) -> None:
        """Check that there is room for more.

        Raises:
            InsufficientStorage: the bound is reached. Counted.
        """
        if self.fill >= 1:
            self.count_refusal()
            raise InsufficientStorage(
                f"the store has its maximum of {self.max_bytes} bytes; there will be room when data expires",
                retry_after_seconds=_RETRY_AFTER_SECONDS,
            )
