"""The bound on WebSocket frames that cost the server more than the client, on HTTP/1.1 and HTTP/2.

A ping has six bytes and costs a write, an empty fragment has six bytes and costs as much as a message. All
other frames are bounded by the size of messages, and by the rate at which the application takes them.
"""

from typing import Final

from wsproto.events import Event, Message, Ping, Pong

from ..limits import Allowance
from ..time_slice import request_slice

SPENT: Final = "too many pings, pongs or empty fragments"
"""The reason in the Close frame (1008, RFC 6455 section 7.4.1)."""
_SMALL_BYTES: Final = 16  # a fragment below has as much header as content


class FrameGuard:
    """Counts the frames of one connection that have little or no content."""

    __slots__ = ("_allowance",)

    def __init__(self) -> None:
        self._allowance: Allowance | None = None  # most connections have none of these frames

    def admits(self, event: Event) -> bool:
        """Return False for a frame of which the client has sent too many."""
        if isinstance(event, Message):
            is_fragment = event.frame_finished and not event.message_finished
            if not is_fragment or len(event.data) >= _SMALL_BYTES:
                return True
        elif not isinstance(event, Ping | Pong):
            return True
        if self._allowance is None:
            self._allowance = Allowance()
        return self._allowance.spend()

    async def pause(self) -> None:
        """Let other trio tasks run if the frames of this pass have used up their time."""
        await request_slice().pause()
