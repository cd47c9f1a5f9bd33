"""WebSockets: what the clients of all of them may send."""

import trio
from quart import current_app, websocket

from ..broker import Broker
from ..connections import Connection
from ..errors import Forbidden
from ..events import EventId
from ..events.bodies import EventBody
from ..hub import Subscription
from ..transports import EventReader
from ..transports.asgi import bind_abort, find_transport
from ..transports.stream import Opening, Source, no_opening
from ..transports.websocket import PublishEvent, serve_websocket
from .callers import TICKET, bearer_token, current_caller
from .current import EXTENSION, current_runtime
from .publishing import PublishingDoor


async def _open_door() -> PublishingDoor:
    """Return the means of publishing of the caller of the current WebSocket."""
    runtime = current_runtime()
    caller = await current_caller()
    return PublishingDoor(runtime.broker, runtime.access, caller, websocket.remote_addr or "")


async def serve_socket(
    broker: Broker,
    connection: Connection,
    source: Source,
    *,
    subscription: Subscription | None = None,
    reader: EventReader | None = None,
    opening: Opening = no_opening,
) -> None:
    """Accept the current WebSocket, stream until the source or the connection ends, and close it.

    Args:
        broker, connection, source, subscription, reader, opening: as for
            :func:`~streamd.transports.websocket.serve_websocket`.
    """
    bind_abort(connection, find_transport(websocket.scope))
    await websocket.accept()
    code = None
    try:
        code = await serve_websocket(
            broker,
            connection,
            source,
            websocket.scope,
            websocket.send,
            websocket.receive,
            _make_publisher(),
            subscription=subscription,
            reader=reader,
            opening=opening,
        )
    except BaseExceptionGroup as group:
        if group.split(trio.Cancelled)[1] is not None:
            raise
    if code is None:
        # The client has left. Quart-Trio would keep a group of cancellations in cycles with its frames, and
        # whoever opens sockets at a rate would make the garbage collector hold the event loop.
        await trio.lowlevel.checkpoint()
    else:
        await websocket.close(code)


def _make_publisher() -> PublishEvent:
    """Make the function that publishes the events of the current WebSocket's client.

    It identifies the caller at the first of them: the views of a program may stream to everybody.
    """
    door: PublishingDoor | None = None

    async def publish(body: EventBody, size: int) -> EventId:
        nonlocal door
        if door is None:
            _check_may_publish()
            door = await _open_door()
        return await door.publish_message(body, size)

    return publish


def _check_may_publish() -> None:
    """Check that ``POST /events`` would take events of the current WebSocket's client.

    Raises:
        Forbidden: the application has no such route, or the client is known by a ticket, which stands in a
            URL, where others may see it before it is spent.
    """
    if not current_app.extensions[EXTENSION].serves_api:
        raise Forbidden("this application takes no events of clients")
    if _has_ticket_alone():
        raise Forbidden("a ticket opens a stream, and changes nothing: send the token", field=TICKET)


def _has_ticket_alone() -> bool:
    """Return True if the caller of the current WebSocket is known by a ticket, see :mod:`.callers`."""
    is_open = current_runtime().access.is_open
    return not is_open and TICKET in websocket.args and not bearer_token(websocket.scope)
