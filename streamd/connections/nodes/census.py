"""The census of all nodes on one Redis: each node answers for its own connections."""

from collections.abc import Iterator
from operator import itemgetter
from typing import Any, Final, TypeVar

import msgspec
import structlog

from ...errors import ConnectionClosing, NotFound, OutcomeUnknown, SendQueueFull, Unavailable
from ...events import UnloggedEvent
from ..broadcast import BroadcastOutcome, ConnectionFilter
from ..census import Listing, LocalCensus, closing, full, not_found
from ..connection import CloseReason
from ..registry import OWN_ID_PREFIX, Registry
from ..totals import GroupTotals
from .channel import Answers, NodeChannel
from .messages import (
    BroadcastToNode,
    CloseConnection,
    FindConnection,
    FoundConnection,
    ListConnections,
    ListedConnections,
    NodeBroadcastOutcome,
    NodeRequest,
    OperationOutcome,
    SendToConnection,
    decode_filter,
    decode_unlogged,
    encode_filter,
    encode_unlogged,
)

_RETRY_SECONDS: Final = 1.0
_T = TypeVar("_T")

_log = structlog.get_logger(__name__)


class SharedCensus:
    """The census of all nodes; see :class:`..census.Census`.

    A connection of this node that is addressed by its own id is found without asking the others.

    Args:
        registry: of this node.
        channel: to the others.
    """

    def __init__(self, registry: Registry, channel: NodeChannel) -> None:
        self._registry = registry
        self._local = LocalCensus(registry)
        self._channel = channel

    # --- for callers --------------------------------------------------------------------------

    async def list(self, limit: int, id: str | None = None) -> Listing:
        answers = await self._channel.ask(ListConnections(limit, id))
        listed = await self._local.list(limit, id)
        totals, connections = [listed.totals], listed.connections
        for _, found in _read(answers, ListedConnections):
            totals.append(found.totals)
            connections += found.connections
        connections.sort(key=itemgetter("opened_at", "id"))
        return Listing(_add_nodes(totals), connections[:limit])

    async def status(self, id: str, *, user: str = "") -> dict[str, Any]:
        _, status = await self._find(id, user)
        return status

    async def send(self, id: str, message: UnloggedEvent, *, user: str = "") -> str:
        node, status = await self._find(id, user)
        own_id: str = status["id"]
        if not node:
            return await self._local.send(own_id, message)
        request = SendToConnection(own_id, encode_unlogged(message))
        code = await self._operate(node, own_id, request)
        if code is None:
            raise OutcomeUnknown("the connection's node did not answer: it may have sent the message, or not")
        if code == ConnectionClosing.code:
            raise closing(own_id)
        if code == SendQueueFull.code:
            raise full(own_id, self._registry.settings.retry_after_seconds)
        return own_id

    async def close(self, id: str, *, user: str = "", reason: str = CloseReason.CLOSED) -> None:
        node, status = await self._find(id, user)
        own_id: str = status["id"]
        if not node:
            await self._local.close(own_id, reason=reason)
        elif await self._operate(node, own_id, CloseConnection(own_id, str(reason))) is None:
            raise _out_of_reach()

    async def broadcast(self, message: UnloggedEvent, where: ConnectionFilter) -> BroadcastOutcome:
        answers = await self._channel.ask(BroadcastToNode(encode_unlogged(message), encode_filter(where)))
        outcome = await self._local.broadcast(message, where)
        for _, other in _read(answers, NodeBroadcastOutcome):
            outcome.sent += other.sent
            outcome.full += other.full
        return outcome

    async def _find(self, id: str, user: str) -> tuple[str, dict[str, Any]]:
        """Return the state of a connection, and its node: empty for this one.

        Raises:
            NotFound: no node has it.
            Unavailable: it may be on a node that did not answer.
        """
        found: list[tuple[str, dict[str, Any]]] = []
        is_own_id = id.startswith(OWN_ID_PREFIX)
        try:
            found.append(("", self._registry.status(id, user=user)))
        except NotFound:
            pass
        if found and is_own_id:
            return found[0]
        answers = await self._channel.ask(
            FindConnection(id, user), is_enough=lambda body: is_own_id and b"opened_at" in bytes(body)
        )
        found += [(node, each.status) for node, each in _read(answers, FoundConnection) if each.status]
        if found:
            return min(found, key=lambda each: each[1]["age_seconds"])
        raise not_found(id) if answers.is_complete else _out_of_reach()

    async def _operate(self, node: str, id: str, request: NodeRequest) -> str | None:
        """Return the code of the error of an operation on a node, '' for none; None if it did not answer.

        Raises:
            NotFound: the node has no such connection, or is gone.
        """
        answers = await self._channel.ask(request, node)
        code = next((outcome.code for _, outcome in _read(answers, OperationOutcome)), None)
        if code == NotFound.code or (answers.is_complete and code is None):
            raise not_found(id)
        return code

    # --- for other nodes ----------------------------------------------------------------------

    async def answer(self, request: NodeRequest) -> object:
        """Answer a request of another node for the connections of this one."""
        local = self._local
        match request:
            case ListConnections(limit, id):
                listed = await local.list(limit, id)
                return ListedConnections(listed.totals, listed.connections)
            case FindConnection(id, user):
                try:
                    return FoundConnection(await local.status(id, user=user))
                except NotFound:
                    return FoundConnection()
            case BroadcastToNode(message, conditions):
                outcome = await local.broadcast(decode_unlogged(message), decode_filter(conditions))
                return NodeBroadcastOutcome(outcome.sent, outcome.full)
            case SendToConnection() | CloseConnection():
                try:
                    if isinstance(request, SendToConnection):
                        await local.send(request.id, decode_unlogged(request.message))
                    else:
                        await local.close(request.id, reason=request.reason)
                except (NotFound, ConnectionClosing, SendQueueFull) as error:
                    return OperationOutcome(error.code)
                return OperationOutcome()


def _read(answers: Answers, type: type[_T]) -> Iterator[tuple[str, _T]]:
    """Decode the answers, without those that this version does not understand."""
    for node, body in answers.bodies.items():
        try:
            yield node, msgspec.json.decode(body, type=type)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            _log.warning("node_answer_invalid", error=str(error))


def _add_nodes(nodes: list[GroupTotals]) -> GroupTotals:
    """Add up the totals of nodes, of which each has its own maximum."""
    first, *others = nodes
    most = sum(each.max_connections for each in nodes)
    return msgspec.structs.replace(first.add(others), max_connections=most)


def _out_of_reach() -> Unavailable:
    return Unavailable(
        "the connection may be on another node, which cannot be asked now",
        retry_after_seconds=_RETRY_SECONDS,
    )
