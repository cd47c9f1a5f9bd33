"""The JSON messages of the server, decoded to Python values; see :mod:`streamd.events.messages`."""

from typing import Any

import msgspec

from streamd.errors import InvalidBody
from streamd.json import decode_message


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
