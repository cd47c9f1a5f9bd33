"""The client (layer 5): publish to a streamd server, and follow its events without losing any.

Imports only :mod:`streamd.events`, :mod:`streamd.errors` and :mod:`streamd.outbound`; nothing of the server.

===============  ============================================================================
``publisher``    :class:`Publisher`: one event or many, retried under one idempotency key
``subscription`` :func:`subscribe`: one loop that connects, resumes and waits, for all transports
``tasks``        :class:`TaskClient`: list, get and cancel tasks, and follow one by the same loop
``link``         what that loop and its transport of the moment share: the cursor, and what is due
``sse``          Server-Sent Events by httpx
``websocket``    WebSocket by trio-websocket
``poll``         long-poll by httpx
``items``        what a subscription gives: events, gaps, and what state it is in
``answer``       one HTTP answer, read in pieces, with every wait bounded
``endpoint``     where the server is, and how to speak to it (TLS, HTTP/2, times)
``wire``         the JSON of WebSocket frames and poll answers
``backoff``      how long to wait before the next try
``problem``      reading the answers that say no
``errors``       what of those is worth another try
===============  ============================================================================

The way of an event: a transport reads it off the wire and hands it to ``Link.take``, which drops what
the cursor has passed already, moves the cursor, and sends it through a bounded channel to whoever
iterates over the subscription.
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
