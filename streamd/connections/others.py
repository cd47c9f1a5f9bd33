"""The port through which the registry knows of the connections of other nodes."""

from collections.abc import Sequence
from typing import Final, Protocol

from .connection import Connection
from .totals import GroupTotals


class OtherNodes(Protocol):
    """The other nodes, as they last reported. No method waits."""

    def totals(self, group: str) -> Sequence[GroupTotals]:
        """Return the totals of the group with this name, one for each other node that has it."""

    def count_at(self, address: str) -> int:
        """Count the connections of an address on the other nodes, or of a user: ``user:`` and its name."""

    def note_opened(self, connection: Connection) -> None:
        """Take note that a connection of this node opened: another node may have one that it replaces."""

    def note_closed(self, connection: Connection) -> None:
        """Take note that a connection of this node has ended."""


class NoOtherNodes:
    """A node that is alone; see :class:`OtherNodes`."""

    def totals(self, group: str) -> Sequence[GroupTotals]:
        return ()

    def count_at(self, address: str) -> int:
        return 0

    def note_opened(self, connection: Connection) -> None:
        """Do nothing."""

    def note_closed(self, connection: Connection) -> None:
        """Do nothing."""


NO_OTHER_NODES: Final = NoOtherNodes()
