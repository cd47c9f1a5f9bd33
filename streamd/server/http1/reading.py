"""Reading the body of a request from its connection."""

from typing import Final

import trio

from ..client_socket import ClientSocket
from ..refusals import RequestRefused
from .body import BodyDecoder

DISCARDED_BYTES_MAX: Final = 65_536
"""The size of an unread body (bytes) up to which it is discarded: for more, a new connection is cheaper."""

_DISCARD_SECONDS: Final = 2.0


async def decode_ahead(client: ClientSocket, body: BodyDecoder) -> tuple[bytes, bool]:
    """Decode what was read ahead of a body.

    Returns:
        The content; True if no more of it can be decoded before more bytes have been read.

    Raises:
        RequestRefused: the framing is malformed.
    """
    before = len(client.read_ahead)
    content, client.read_ahead = body.decode(client.read_ahead)
    left = len(client.read_ahead)
    if left and not body.is_complete:  # it stops after some hundred chunks, so that others get their turn
        await trio.lowlevel.cancel_shielded_checkpoint()  # not cancelled: the content would be lost
    return content, left in (0, before)


async def discard_rest(client: ClientSocket, body: BodyDecoder) -> bool:
    """Read the rest of the request's body; return False if that takes too long or too much."""
    discarded = 0
    with trio.move_on_after(_DISCARD_SECONDS):
        try:
            while discarded < DISCARDED_BYTES_MAX:
                if client.read_ahead:
                    content, is_used_up = await decode_ahead(client, body)
                    discarded += len(content)
                    if body.is_complete:
                        return True
                    if not is_used_up:
                        continue
                data = await client.read()
                if not data:
                    return False
                client.read_ahead += data
        except RequestRefused:
            return False
    return False
