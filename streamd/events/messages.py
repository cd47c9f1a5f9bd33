"""The JSON messages of WebSocket and long polling (RFC 8259 texts in UTF-8).

The server sends an event as ``{"id", "type", "topics", "data"}``, with ``retry`` if it is set, and with
``"encoding": "base64"`` if ``data`` is the base64 of bytes. Its other messages have ``control``, the name of
the message. A client on a WebSocket sends ``ping``, ``pong``,
``subscribe`` and ``unsubscribe``, each an object with ``control``.
"""

from typing import Any

import msgspec

from ..errors import InvalidBody, StreamdError
from ..json import decode_json, decode_message
from .control import Control
from .ids import EventId
from .topics import Selectors


class Ping(msgspec.Struct, tag_field="control", tag="ping", forbid_unknown_fields=True, frozen=True):
    """A client's request for a ``pong`` with the same nonce, to check that the server is there."""

    nonce: str | int | None = None


class Subscribe(
    msgspec.Struct, tag_field="control", tag="subscribe", forbid_unknown_fields=True, frozen=True
):
    """A client's request to add topics and patterns to the socket, from its cursor on."""

    topics: list[str] = []
    patterns: list[str] = []


class Unsubscribe(
    msgspec.Struct, tag_field="control", tag="unsubscribe", forbid_unknown_fields=True, frozen=True
):
    """A client's request to remove topics and patterns; those not subscribed to are ignored."""

    topics: list[str] = []
    patterns: list[str] = []


class Pong(msgspec.Struct, tag_field="control", tag="pong", forbid_unknown_fields=True, frozen=True):
    """A client's answer to a heartbeat, which is allowed and has no effect."""

    nonce: str | int | None = None


ClientMessage = Ping | Pong | Subscribe | Unsubscribe


def decode_client_message(text: str | bytes) -> ClientMessage:
    """Decode a message of a client on a WebSocket.

    Raises:
        InvalidBody: not JSON, or not one of the messages; the error names the wrong field.
    """
    return decode_json(text, ClientMessage, noun="the message")


def pong(ping: Ping) -> Control:
    """Build the answer to a ping."""
    return Control("pong", {"nonce": ping.nonce})


def subscribed(selectors: Selectors, cursor: EventId) -> Control:
    """Build the answer with the socket's present selectors, and the cursor after which they hold."""
    return Control(
        "subscribed",
        {
            "topics": sorted(selectors.topics),
            "patterns": sorted(pattern.text for pattern in selectors.patterns),
            "cursor": cursor,
        },
    )


def error(problem: StreamdError) -> Control:
    """Build the answer to a client's message that was rejected; the socket stays open."""
    field = {} if problem.field is None else {"field": problem.field}
    return Control("error", {"code": problem.code, "detail": problem.detail, **field})


class ServerMessage(msgspec.Struct, frozen=True):
    """A message of the server, read by a client: an event (``control`` is empty) or a control message."""

    id: str = ""
    type: str = ""
    topics: tuple[str, ...] = ()
    data: Any = None
    encoding: str = ""  # ``base64`` if `data` is the base64 of bytes
    retry: int | None = None
    control: str = ""
    fields: dict[str, Any] = {}  # of a control message


def decode_server_message(text: str | bytes) -> ServerMessage:
    """Decode a message of the server.

    Raises:
        InvalidBody: not a JSON object with ``id`` or ``control``; the error names the wrong field.
    """
    message: ServerMessage = decode_message(text, ServerMessage)
    if message.control:
        fields: dict[str, Any] = decode_message(text, dict[str, Any])
        del fields["control"]
        return ServerMessage(id=message.id, control=message.control, fields=fields)
    if not message.id:
        raise InvalidBody("a message needs 'id' or 'control'", field="id")
    return message
