"""The trio tasks of one connection, and the queue of ASGI messages for one request."""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import structlog
import trio

from ..characters import cut

_log = structlog.get_logger(__name__)
Put = Callable[[Any], Awaitable[None]]
Run = Callable[[Any, Any, Any], Awaitable[None]]


class TaskGroup:
    """The trio tasks of one connection, as Hypercorn's protocols spawn them.

    Args:
        nursery: of the connection.
        run: the application.
        end: called when an application is cancelled: tells the client that no more is sent.
    """

    def __init__(self, nursery: trio.Nursery, run: Run, end: Callable[[], None]) -> None:
        self._nursery = nursery
        self._run = run
        self._end = end

    def spawn(self, function: Callable[..., Awaitable[Any]], *arguments: Any) -> None:
        """Start a trio task."""
        self._nursery.start_soon(function, *arguments)

    async def spawn_app(self, _app: Any, config: Any, scope: Any, send: Put) -> Put:
        """Start the application on a request, and return the function that sends it messages."""
        inbox = Inbox(config.max_app_queue_size)
        self.serve(scope, inbox, send)
        return inbox.put

    def serve(self, scope: Any, inbox: "AnyInbox", send: Put) -> None:
        """Start the application on a request, which receives its messages from ``inbox``."""
        self._nursery.start_soon(self._serve, scope, inbox, send, name="application")

    async def _serve(self, scope: Any, inbox: "AnyInbox", send: Put) -> None:
        """Run the application, and end its response; a 500 if there is none.

        Cancelled, the connection ends first: a client whose request was not answered tries again, where a 500
        would tell it that the server failed.
        """
        try:
            await self._run(scope, inbox.receive, send)
        except Exception:  # noqa: BLE001 - an error of one request must not reach the others
            _log.exception("application_failed", path=cut(scope["path"]))
        except BaseException:
            self._end()
            raise
        finally:
            inbox.close()
            await send(None)  # also frees the request


class AnyInbox(Protocol):
    """The messages for one request, as its application receives them."""

    async def receive(self) -> Any:
        """Wait for the next message, and remove it."""

    def close(self) -> None:
        """Drop all further messages."""


class Inbox:
    """The bounded queue of ASGI messages for one request. Empty, it holds no trio objects.

    Args:
        capacity: maximum number of queued messages; :meth:`put` waits while it is reached.
    """

    __slots__ = ("_capacity", "_changed", "_closed", "_messages")

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._messages: list[Any] = []
        self._changed: trio.Event | None = None
        self._closed = False

    async def put(self, message: Any) -> None:
        """Append a message, waiting for room; after :meth:`close` it is dropped."""
        await self.wait_for_room()
        self.put_nowait(message)

    @property
    def has_room(self) -> bool:
        """A message can be put without waiting."""
        return len(self._messages) < self._capacity or self._closed

    async def wait_for_room(self) -> None:
        """Wait until there is room, or the inbox is closed."""
        while not self.has_room:
            await self._wait()

    def put_nowait(self, message: Any) -> None:
        """Append a message, also above the capacity; after :meth:`close` it is dropped."""
        if not self._closed:
            self._messages.append(message)
            self._notify()

    async def receive(self) -> Any:
        """Wait for the next message, and remove it."""
        await trio.lowlevel.checkpoint()
        while not self._messages:
            await self._wait()
        message = self._messages.pop(0)
        self._notify()
        return message

    def close(self) -> None:
        """Drop all further messages, and wake all that wait to append one."""
        self._closed = True
        self._notify()

    async def _wait(self) -> None:
        if self._changed is None:
            self._changed = trio.Event()
        await self._changed.wait()

    def _notify(self) -> None:
        if self._changed is not None:
            self._changed.set()
            self._changed = None
