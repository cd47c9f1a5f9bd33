"""Request bodies that push back on a client which sends faster than the server publishes.

Quart takes body parts from the ASGI server as they come, and answers 413 when more than
``MAX_CONTENT_LENGTH`` are unread. A view that reads a body for as long as the client sends it, such as
NDJSON, asks for push-back instead: while 64 kB are unread, nothing is taken from the server, whose queue
fills, then the socket's buffers (on HTTP/2, the stream's window), and the client's writes wait.

Not on HTTP/2 under another server than streamd's: Hypercorn then stops reading the connection, which carries
other requests, too.
"""

from typing import Any, Final, Self

import trio
from quart_trio.wrappers import TrioRequest
from quart_trio.wrappers.request import TrioBody

from .schema import NDJSON

_UNREAD_BYTES_MAX: Final = 65_536


class PushBackBody(TrioBody):
    """A body of which little is unread, once :meth:`push_back` was called.

    Only for views that iterate over the body: one that awaits the whole of it would wait for ever.
    """

    def __init__(self, expected_content_length: int | None, max_content_length: int | None) -> None:
        super().__init__(expected_content_length, max_content_length)
        self._pushes_back = False
        self._unread = 0
        self._was_read = trio.Event()

    def push_back(self) -> None:
        """Let the client wait while it is ahead of the view, which bounds the unread bytes."""
        self._pushes_back = True
        self._max_content_length = None

    def append(self, data: bytes) -> None:
        super().append(data)
        self._unread += len(data)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        data = await super().__anext__()
        self._unread -= len(data)
        self._was_read.set()
        return data

    async def wait_for_room(self) -> None:
        """Wait until the next part may be taken from the server."""
        while self._pushes_back and self._unread >= _UNREAD_BYTES_MAX:
            self._was_read = trio.Event()
            await self._was_read.wait()


class PushBackRequest(TrioRequest):
    """A request whose view may let the client wait."""

    body_class = PushBackBody

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        if (
            self.mimetype == NDJSON
        ):  # read in parts: its size as a whole, which may be announced, has no bound
            self.body = PushBackBody(None, options.get("max_content_length"))
