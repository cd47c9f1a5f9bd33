"""The counts of connections that nodes report to each other, for limits and statistics.

A node reports what changed at most every 0.2 s, and everything at least every 5 s, so that a lost message
does no harm for long. The counts of a node that is silent for 15 s are dropped: it may have been killed.
"""

import math
from collections.abc import Sequence
from typing import Final, NoReturn

import attrs
import trio

from ..connection import Connection
from ..registry import Registry
from ..totals import GroupTotals
from .channel import SILENT_SECONDS, NodeChannel, NodePart
from .messages import AnyNodeMessage, NodeBye, NodeHello, NodeReport

_INTERVAL_SECONDS: Final = 0.2
_FULL_SECONDS: Final = 5.0
_COUNTED_MAX: Final = 500  # of a larger group, only full reports count more than its connections


@attrs.define
class _Reported:
    """The counts of another node."""

    groups: dict[str, GroupTotals]
    addresses: dict[str, int]
    heard: float  # s on trio's clock


class NodeCounts(NodePart):
    """Reports the counts of this node, and keeps those of the others.

    Args:
        registry: of this node.
        channel: to the others.
    """

    def __init__(self, registry: Registry, channel: NodeChannel) -> None:
        self._registry = registry
        self._channel = channel
        self._reported: dict[str, _Reported] = {}
        self._changed_callers: set[str] = set()
        self._has_changed = trio.Event()
        self._full_at = -math.inf
        self._counted: dict[str, GroupTotals] = {}  # of this node's groups
        self._is_new = True  # the others have not been asked for their reports

    # --- the other nodes ----------------------------------------------------------------------

    def totals(self, group: str) -> Sequence[GroupTotals]:
        """Return the totals of a group on the other nodes."""
        return [node.groups[group] for node in self._heard() if group in node.groups]

    def count_at(self, address: str) -> int:
        """Count the connections of an address or user on the other nodes."""
        return sum(node.addresses.get(address, 0) for node in self._heard())

    def _heard(self) -> list[_Reported]:
        since = trio.current_time() - SILENT_SECONDS
        return [node for node in self._reported.values() if node.heard > since]

    def take(self, message: AnyNodeMessage, *, is_own: bool) -> None:
        if is_own:
            return
        if isinstance(message, NodeHello):
            self._report_fully()
        elif isinstance(message, NodeBye):
            self._reported.pop(message.node, None)
        elif isinstance(message, NodeReport):
            self._keep(message)

    def _keep(self, report: NodeReport) -> None:
        before = self._reported.get(report.node)
        if report.is_full or before is None:
            self._forget_silent()
            self._reported[report.node] = _Reported(report.groups, report.addresses, trio.current_time())
            return
        before.groups, before.heard = report.groups, trio.current_time()
        for address, count in report.addresses.items():
            if count:
                before.addresses[address] = count
            else:
                before.addresses.pop(address, None)

    def _forget_silent(self) -> None:
        """Free the memory of nodes that are gone."""
        since = trio.current_time() - SILENT_SECONDS
        self._reported = {node: kept for node, kept in self._reported.items() if kept.heard > since}

    # --- this node ----------------------------------------------------------------------------

    def note(self, connection: Connection) -> None:
        """Take note that a connection has opened or ended."""
        keys = list(self._registry.limited_keys(connection.identity))
        self._changed_callers.update(keys)
        if not keys and connection.group is None:
            return
        self._has_changed.set()

    def opened(self) -> None:
        self._is_new = True
        self._report_fully()

    def lost(self) -> None:
        self._reported.clear()  # how old they would become is not known

    def _report_fully(self) -> None:
        self._full_at = -math.inf
        self._has_changed.set()

    async def run(self) -> NoReturn:
        """Report until cancelled."""
        while True:
            with trio.move_on_at(self._full_at + _FULL_SECONDS):
                await self._has_changed.wait()
            if self._is_new and await self._channel.tell(NodeHello(node=self._channel.node)):
                self._is_new = False
            if not await self._channel.tell(await self._make_report()):
                self._full_at = -math.inf
            await trio.sleep(_INTERVAL_SECONDS)

    async def _make_report(self) -> NodeReport:
        self._has_changed = trio.Event()
        now = trio.current_time()
        is_full = now >= self._full_at + _FULL_SECONDS
        if is_full:
            self._full_at = now
        groups = {}
        for name, group in list(self._registry.groups.items()):
            if is_full or name not in self._counted or len(group) <= _COUNTED_MAX:
                self._counted[name] = await group.totals_in_turns()
            groups[name] = group.totals_after(self._counted[name])
        by_caller, settings = self._registry.by_caller, self._registry.settings
        if is_full:
            addresses = dict(by_caller) if settings.max_per_address or settings.max_per_user else {}
        else:
            addresses = {key: by_caller.get(key, 0) for key in self._changed_callers}
        self._changed_callers.clear()
        return NodeReport(node=self._channel.node, groups=groups, addresses=addresses, is_full=is_full)
