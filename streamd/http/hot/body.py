"""Bodies of requests as ASGI servers hand them over."""

from collections.abc import Callable
from typing import Any, Final, Self

import trio

from ...transports.asgi import Receive, Transport
from ..push_back import PushBackBody

Watch = Callable[[Callable[[], None]], None]
_DISCONNECT: Final = "http.disconnect"


class ClientLeft(Exception):
    """The client is gone: nobody would read an answer."""


class ReceivedBody:
    """The parts of a body, each received from the server when it is asked for, or some ahead of the reader.

    Args:
        receive: of the ASGI application.
        transport: of streamd's own server, if it serves the request.

    Attributes:
        ahead: the parts that :meth:`receive_ahead` has received and that are unread; None without it.
    """

    __slots__ = ("_is_ahead", "_is_complete", "_receive", "_transport", "_whole", "ahead")

    def __init__(self, receive: Receive, transport: Transport | None) -> None:
        self.ahead: PushBackBody | None = None
        self._receive = receive
        self._transport = transport
        self._whole: bytes | None = None  # of a repetition, until it is taken
        self._is_complete = False
        self._is_ahead = False

    def repeat(self, whole: bytes | None) -> None:
        """Become the body of the next request of the connection.

        Args:
            whole: the whole body, if it has been received already.
        """
        self.ahead = None
        self._whole = whole
        self._is_complete = False
        self._is_ahead = False

    @property
    def watch(self) -> Watch | None:
        """Calls a function when the client leaves, see :meth:`.Transport.watch`; None under other servers."""
        return getattr(self._transport, "watch", None)

    def take(self) -> bytes | None:
        """Return the whole body if the server has it, without a checkpoint; otherwise None."""
        if self._whole is not None:
            return self._take_whole()
        take: Callable[[], bytes | None] | None = getattr(self._transport, "take_body", None)
        if take is None or self._is_complete:
            return None
        body = take()
        self._is_complete = body is not None
        return body

    def _take_whole(self) -> bytes | None:
        whole, self._whole = self._whole, None
        self._is_complete = True
        return whole

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if self._is_ahead and self.ahead is not None:
            return await anext(self.ahead)
        if self._is_complete:
            raise StopAsyncIteration
        part = await self._next_part()
        if part is None:
            raise ClientLeft
        return part

    async def _next_part(self) -> bytes | None:
        """Receive a part of the body; None if the client has left."""
        if self._whole is not None:
            await trio.lowlevel.checkpoint()
            return self._take_whole()
        message: Any = await self._receive()
        if message["type"] == _DISCONNECT:
            return None
        self._is_complete = not message.get("more_body", False)
        part: bytes = message.get("body", b"")
        return part

    async def wait_for_disconnect(self) -> None:
        """Receive and discard until the client is gone."""
        while (await self._receive())["type"] != _DISCONNECT:
            pass

    async def receive_ahead(
        self,
        reading: trio.CancelScope,
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Receive parts into :attr:`ahead`, which pushes back. When the client leaves, cancel the reader.

        ``task_status.started`` is called before the first part is received, without a checkpoint in between.
        """
        assert self.ahead is not None
        self._is_ahead = True
        task_status.started()
        while not self._is_complete:
            await self.ahead.wait_for_room()
            part = await self._next_part()
            if part is None:
                reading.cancel()
                return
            self.ahead.append(part)
        self.ahead.set_complete()
        await self.wait_for_disconnect()
        reading.cancel()
