"""The fan-out: takes events from the log's tail and offers them to subscriptions, in log order.

Imports events and the log's port, never a log's implementation.

=================  ==========================================================================
``hub``            :class:`Hub`: publish, subscribe, and the one task that fans out
``subscription``   one subscriber's place in the log: cursor, outbox, overflow policy
``outbox``         the bounded memory channel between the fan-out and a connection's own task
``index``          which subscriptions an event's topics concern
``wire``           the port through which frames reach a socket
``sent``           the account of what one client was sent
=================  ==========================================================================
"""

from .hub import Hub
from .send_queue import LatestSendQueue, SendQueue
from .sent import Sent, record_delivery
from .subscription import Overflow, Subscription
from .wire import Wire

__all__ = [
    "Hub",
    "LatestSendQueue",
    "Overflow",
    "SendQueue",
    "Sent",
    "Subscription",
    "Wire",
    "record_delivery",
]
