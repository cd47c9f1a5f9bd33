"""The JSON messages of WebSocket and long polling (RFC 8259 texts in UTF-8).

The server sends an event as ``{"id", "type", "topics", "data"}``, with ``retry`` if it is set, and with
``"encoding": "base64"`` if ``data`` is the base64 of bytes. Its other messages have ``control``, the name of
the message. A client on a WebSocket sends ``ping``, ``pong``,
``subscribe``, ``unsubscribe`` and ``publish``, each an object with ``control``.
"""

import msgspec

from ..errors import StreamdError
from ..json import decode_json, decoding_steps
from ..steps import Steps
from .bodies import EventBody
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


class Publish(EventBody, tag_field="control", tag="publish", forbid_unknown_fields=True, frozen=True):
    """A client's event to publish, with the fields of ``POST /events``; its answer has the same nonce."""

    nonce: str | int | None = None


ClientMessage = Ping | Pong | Subscribe | Unsubscribe | Publish


def decode_client_message(text: str | bytes) -> ClientMessage:
    """Decode a message of a client on a WebSocket.

    Raises:
        InvalidBody: not JSON, or not one of the messages; the error names the wrong field.
    """
    message: ClientMessage = decode_json(text, ClientMessage, noun="the message", envelope=1)
    return message


def client_message_steps(text: str | bytes) -> Steps[ClientMessage]:
    """Do the same as :func:`decode_client_message` in steps of at most some milliseconds."""
    return decoding_steps(text, ClientMessage, noun="the message", envelope=1)


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


def published(message: Publish, event_id: EventId) -> Control:
    """Build the answer with the id of a client's event."""
    return Control(MessageName.PUBLISHED, {"nonce": message.nonce, "id": event_id})


def error(problem: StreamdError, rejected: Publish | None = None) -> Control:
    """Build the answer to a client's message that was rejected; the socket stays open.

    Args:
        problem: the reason.
        rejected: the message, if it has a nonce for its answer.
    """
    nonce = {} if rejected is None else {"nonce": rejected.nonce}
    field = {} if problem.field is None else {"field": problem.field}
    return Control(MessageName.ERROR, {**nonce, "code": problem.code, "detail": problem.detail, **field})
