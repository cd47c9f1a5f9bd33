"""The JSON messages of WebSocket and long polling (RFC 8259 texts in UTF-8).

The server sends an event as ``{"id", "type", "topics", "data"}``, with ``retry`` if it is set, and with
``"encoding": "base64"`` if ``data`` is the base64 of bytes. Its other messages have ``control``, the name of
the message. A client on a WebSocket sends ``ping``, ``pong``,
``subscribe`` and ``unsubscribe``, each an object with ``control``.
"""

import msgspec

from ..errors import StreamdError
from ..json import decode_json
from .control import Control, MessageName
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
    return Control(MessageName.PONG, {"nonce": ping.nonce})


def subscribed(selectors: Selectors, cursor: EventId) -> Control:
    """Build the answer with the socket's present selectors, and the cursor after which they hold."""
    return Control(
        MessageName.SUBSCRIBED,
        {
            "topics": sorted(selectors.topics),
            "patterns": sorted(pattern.text for pattern in selectors.patterns),
            "cursor": cursor,
        },
    )


def error(problem: StreamdError) -> Control:
    """Build the answer to a client's message that was rejected; the socket stays open."""
    field = {} if problem.field is None else {"field": problem.field}
    return Control(MessageName.ERROR, {"code": problem.code, "detail": problem.detail, **field})
