"""The client: publish to a streamd server, and follow its events without losing any.

Imports only :mod:`streamd.events`, :mod:`streamd.errors` and :mod:`streamd.outbound`; nothing of the server.

================  ============================================================================
``publisher``     :class:`Publisher`: one event or many, retried under one idempotency key
``subscription``  :func:`subscribe`: one loop that connects, resumes and waits, for all transports
``tasks``         :class:`TaskClient`: list, get and cancel tasks, and follow one with that loop
``link``          the state of a subscription over all its connections: the cursor and the timeouts
``sse``           Server-Sent Events by httpx
``websocket``     WebSocket by trio-websocket
``poll``          long polling by httpx
``items``         the items of a subscription: events, gaps, and changes of the connection
``answer``        one HTTP response, with the client's errors
``endpoint``      the address of a server, its TLS context and the timeouts
``wire``          the JSON of WebSocket frames and poll answers
``problem``       error responses: problem details and ``Retry-After``
``errors``        the errors, and which of them a retry may help
================  ============================================================================

The way of an event: a transport reads it off the connection and hands it to ``Link.take``. That drops events
behind the cursor, moves the cursor, and sends the event through a bounded channel to the iterator.
"""

from ..outbound import Backoff
from .endpoint import Timeouts
from .errors import ProtocolError, RequestFailed, ServerBusy, Unreachable, Untrusted
from .items import ClosingNotice, Connected, CursorMoved, Gap, Item, ReceivedEvent, Reconnecting
from .problem import Problem
from .publisher import Publisher, draft
from .subscription import EventSubscription, subscribe
from .tasks import TaskClient, TaskState

__all__ = [
    "Backoff",
    "ClosingNotice",
    "Connected",
    "CursorMoved",
    "EventSubscription",
    "Gap",
    "Item",
    "Problem",
    "ProtocolError",
    "Publisher",
    "ReceivedEvent",
    "Reconnecting",
    "RequestFailed",
    "ServerBusy",
    "TaskClient",
    "TaskState",
    "Timeouts",
    "Unreachable",
    "Untrusted",
    "draft",
    "subscribe",
]
