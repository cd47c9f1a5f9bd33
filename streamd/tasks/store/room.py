"""The room that changes of tasks need in a store."""

from collections.abc import Sequence
from typing import Final

from ...database import StorageRoom
from ..model import Change

_SMALL_CHANGE: Final = 4096  # characters and bytes: a task can always end, and say why


def check_room(room: StorageRoom, changes: Sequence[Change]) -> Sequence[Change]:
    """Return changes for which there is room; those that add little need none.

    Raises:
        InsufficientStorage: there is none.
    """
    if sum(len(change.text) + len(change.result or b"") for change in changes) > _SMALL_CHANGE:
        room.check()
    return changes
