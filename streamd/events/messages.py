"""The JSON grammar of WebSocket and long-poll (RFC 8259 texts in UTF-8).

From the server: an event is ``{"id", "type", "topics", "data"}`` (``retry`` when set); everything
else has ``control`` in place of ``id``. From a client on a WebSocket: ``ping``, ``subscribe`` and
``unsubscribe``, each an object with ``control``.
"""

from typing import Any

import msgspec

from ..errors import InvalidBody, StreamdError
from .bodies import decode_json
from .control import Control
from .ids import EventId
from .topics import Selectors


class Ping(msgspec.Struct, tag_field="control", tag="ping", forbid_unknown_fields=True, frozen=True):
    """Asks for a ``pong`` with the same nonce: the client's own check that the server is there."""

    nonce: str | int | None = None


class Subscribe(
    msgspec.Struct, tag_field="control", tag="subscribe", forbid_unknown_fields=True, frozen=True
):
    """Adds topics and patterns to the open socket, from the socket's cursor on."""

    topics: list[str] = []
    patterns: list[str] = []


class Unsubscribe(
    msgspec.Struct, tag_field="control", tag="unsubscribe", forbid_unknown_fields=True, frozen=True
):
    """Takes topics and patterns away again; what is not subscribed is ignored."""

    topics: list[str] = []
    patterns: list[str] = []


class Pong(msgspec.Struct, tag_field="control", tag="pong", forbid_unknown_fields=True, frozen=True):
    """A client may answer the server's heartbeat with it; it only shows that the client is there."""

    nonce: str | int | None = None


ClientMessage = Ping | Pong | Subscribe | Unsubscribe


def decode_client_message(text: str | bytes) -> ClientMessage:
    """Read what a client sent on a WebSocket.

    Raises:
        InvalidBody: not JSON, or not one of the messages; names the field where one is wrong.
    """
    return decode_json(text, ClientMessage)


def pong(ping: Ping) -> Control:
    """The answer to a ping."""
    return Control("pong", {"nonce": ping.nonce})


def subscribed(selectors: Selectors, cursor: EventId) -> Control:
    """What the socket is subscribed to now, and from where the change holds."""
    return Control(
        "subscribed",
        {
            "topics": sorted(selectors.topics),
            "patterns": sorted(pattern.text for pattern in selectors.patterns),
            "cursor": cursor,
        },
    )


def error(problem: StreamdError) -> Control:
    """A message of the client could not be followed; the socket stays open."""
    field = {} if problem.field is None else {"field": problem.field}
    return Control("error", {"code": problem.code, "detail": problem.detail, **field})


class ServerMessage(msgspec.Struct, frozen=True):
    """What a client reads: an event (``control`` is empty) or a control message."""

    id: str = ""
    type: str = ""
    topics: tuple[str, ...] = ()
    data: Any = None
    retry: int | None = None
    control: str = ""
    fields: dict[str, Any] = {}  # of a control message


def decode_server_message(text: str | bytes) -> ServerMessage:
    """Read what the server sent.

    Raises:
        InvalidBody: not a JSON object with ``id`` or ``control``; names the field where one is wrong.
    """
    message: ServerMessage = decode_json(text, ServerMessage)
    if message.control:
        fields: dict[str, Any] = decode_json(text, dict[str, Any])
        del fields["control"]
        return ServerMessage(id=message.id, control=message.control, fields=fields)
    if not message.id:
        raise InvalidBody("a message needs 'id' or 'control'", field="id")
    return message
