"""The body of one HTTP/2 request, on its way to the application."""

from collections.abc import Callable
from typing import Any

import trio


class RequestInbox:
    """The ASGI messages of one request: its body, as it arrives, and the disconnect.

    Parts that were not received yet are joined, so that a body in frames of one byte takes no more memory
    than one in large frames. The client's flow-control window bounds them: the window is opened again only as
    the application receives the body (RFC 9113 section 5.2). ::

        OPEN --end()--> COMPLETE, after the last part is received: waits for the disconnect
        any --disconnect(), close()--> see the methods

    Args:
        on_consumed: called with the number of bytes that the application has received.
    """

    __slots__ = ("_body", "_changed", "_has_left", "_is_closed", "_is_complete", "_on_consumed", "_told_end")

    def __init__(self, on_consumed: Callable[[int], None]) -> None:
        self._on_consumed = on_consumed
        self._body: bytes | bytearray = b""
        self._is_complete = False  # nothing more is appended
        self._told_end = False  # to the application
        self._has_left = False
        self._is_closed = False
        self._changed: trio.Event | None = None

    def append(self, data: bytes) -> None:
        """Append a part of the body; after :meth:`close` it is discarded."""
        if self._is_closed:
            self._on_consumed(len(data))
        elif data:
            if self._body:
                if not isinstance(self._body, bytearray):
                    self._body = bytearray(self._body)
                self._body += data
            else:
                self._body = data
            self._notify()

    def end(self) -> None:
        """Note that the body is complete."""
        self._is_complete = True
        self._notify()

    async def put(self, message: Any) -> None:
        """Note the disconnect: the only message that is put here. Does not wait."""
        assert message["type"] == "http.disconnect"
        self._has_left = True
        self._notify()

    async def receive(self) -> Any:
        """Wait for the next part of the body, or for the disconnect behind its last part."""
        await trio.lowlevel.checkpoint()
        while not (self._body or self._has_left or (self._is_complete and not self._told_end)):
            if self._changed is None:
                self._changed = trio.Event()
            await self._changed.wait()
        if self._body or (self._is_complete and not self._told_end):
            body = self._remove()
            self._told_end = self._is_complete
            return {"type": "http.request", "body": body, "more_body": not self._told_end}
        return {"type": "http.disconnect"}

    def take(self) -> bytes | None:
        """Return the whole body if it has been received already; None, and nothing is taken, otherwise.

        Does not wait, not even at a checkpoint.
        """
        if self._told_end or not self._is_complete:
            return None
        self._told_end = True
        return self._remove()

    def close(self) -> None:
        """Discard the body from now on: the application has ended."""
        self._is_closed = True
        self._remove()

    def _remove(self) -> bytes:
        body, self._body = bytes(self._body), b""
        if body:
            self._on_consumed(len(body))
        return body

    def _notify(self) -> None:
        if self._changed is not None:
            self._changed.set()
            self._changed = None
