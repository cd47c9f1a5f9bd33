"""The messages between nodes, in JSON.

Nodes of different versions may share a Redis during an upgrade: unknown members are ignored, and new ones
need a default. A message of an unknown type is dropped.
"""

from typing import Any

import attrs
import msgspec

from ...events import Pattern, UnloggedEvent
from ...events.data import BASE64, decode_base64
from ..broadcast import ConnectionFilter
from ..totals import GroupTotals


class NodeMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message of a node.

    Args:
        node: the sender.
    """

    node: str


class NodeHello(NodeMessage, frozen=True, kw_only=True, tag="hello"):
    """Asks the other nodes for a full report, when a node has just subscribed."""


class NodeBye(NodeMessage, frozen=True, kw_only=True, tag="bye"):
    """Tells that a node has no connections any more."""


class NodeReport(NodeMessage, frozen=True, kw_only=True, tag="report"):
    """The counts of a node's connections.

    Args:
        groups: totals by the name of the group.
        addresses: number of connections by address and by user: those that changed, or all of a full report.
        is_full: it stands for itself.
    """

    groups: dict[str, GroupTotals]
    addresses: dict[str, int]
    is_full: bool


class OpenClient(msgspec.Struct, frozen=True, array_like=True):
    """A connection that may replace one on another node.

    Args:
        user, client_id, lineage: see :class:`..connection.Connection`.
        id: of the connection.
        age: time since it opened (s), if it was announced before; None if it has just opened.
    """

    user: str
    client_id: str
    lineage: str
    id: str
    age: float | None = None


class ClientsOpened(NodeMessage, frozen=True, kw_only=True, tag="opened"):
    """Announces connections of clients with a chosen client id."""

    clients: list[OpenClient]


class ListConnections(msgspec.Struct, frozen=True, tag="list"):
    """Asks for totals, and for the states of the oldest connections, or of the one with an own id."""

    limit: int
    id: str | None


class FindConnection(msgspec.Struct, frozen=True, tag="find"):
    """Asks for the state of a connection."""

    id: str
    user: str


class SendToConnection(msgspec.Struct, frozen=True, tag="send"):
    """Asks to queue a message for the connection with an own id."""

    id: str
    message: msgspec.Raw


class CloseConnection(msgspec.Struct, frozen=True, tag="close"):
    """Asks to close the connection with an own id."""

    id: str
    reason: str


class BroadcastToNode(msgspec.Struct, frozen=True, tag="broadcast"):
    """Asks to send a message to all connections of a node that a filter selects."""

    message: msgspec.Raw
    filter: dict[str, str]


NodeRequest = ListConnections | FindConnection | SendToConnection | CloseConnection | BroadcastToNode


class NodeQuestion(NodeMessage, frozen=True, kw_only=True, tag="question"):
    """A request that the other nodes answer.

    Args:
        number: of the question, unique for its sender.
        request: the request.
    """

    number: int
    request: NodeRequest


class NodeAnswer(NodeMessage, frozen=True, kw_only=True, tag="answer"):
    """The answer to a question.

    Args:
        number: of the question.
        body: the answer, of a type that depends on the request.
    """

    number: int
    body: msgspec.Raw


class ListedConnections(msgspec.Struct, frozen=True):
    """Answers :class:`ListConnections`."""

    totals: GroupTotals
    connections: list[dict[str, Any]]


class FoundConnection(msgspec.Struct, frozen=True):
    """Answers :class:`FindConnection`; without a status, the node has no such connection."""

    status: dict[str, Any] | None = None


class OperationOutcome(msgspec.Struct, frozen=True):
    """Answers :class:`SendToConnection` and :class:`CloseConnection`.

    Args:
        code: of the error; empty if it is done.
    """

    code: str = ""


class NodeBroadcastOutcome(msgspec.Struct, frozen=True):
    """Answers :class:`BroadcastToNode`."""

    sent: int
    full: int


AnyNodeMessage = NodeHello | NodeBye | NodeReport | ClientsOpened | NodeQuestion | NodeAnswer

encode = msgspec.json.encode
decode = msgspec.json.Decoder(AnyNodeMessage).decode


class _Unlogged(msgspec.Struct):
    data: msgspec.Raw
    type: str
    encoding: str | None = None
    retry: int | None = None


def encode_unlogged(message: UnloggedEvent) -> msgspec.Raw:
    """Encode a message to clients."""
    return msgspec.Raw(message.json)


def decode_unlogged(text: msgspec.Raw) -> UnloggedEvent:
    """Decode a message to clients.

    Raises:
        msgspec.DecodeError, InvalidField: it is none.
    """
    found = msgspec.json.decode(text, type=_Unlogged)
    data: Any = found.data
    if found.encoding == BASE64:
        data = decode_base64(msgspec.json.decode(found.data, type=str))
    elif bytes(found.data).startswith(b'"'):
        data = msgspec.json.decode(found.data, type=str)
    return UnloggedEvent(data, found.type, retry_ms=found.retry)


def encode_filter(where: ConnectionFilter) -> dict[str, str]:
    """Return the conditions of a filter."""
    conditions = attrs.asdict(where, recurse=False)
    if where.pattern is not None:
        conditions["pattern"] = where.pattern.text
    return {name: text for name, text in conditions.items() if text is not None}


def decode_filter(conditions: dict[str, str]) -> ConnectionFilter:
    """Build the filter of some conditions.

    Raises:
        TypeError: this version does not know one of them.
        InvalidField: its pattern is invalid.
    """
    fields: dict[str, Any] = dict(conditions)
    if "pattern" in fields:
        fields["pattern"] = Pattern(fields["pattern"])
    return ConnectionFilter(**fields)
