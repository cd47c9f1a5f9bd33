"""The hub: fans out the log to subscriptions, each event once and in log order.

A subscription is *live* while the fan-out offers it events, and otherwise reads pages of the log at its
own speed. Imports events and the log's port, never a log's implementation.

=================  ==========================================================================
``hub``            :class:`Hub`: publish, subscribe, and the one trio task that fans out
``live_set``       :class:`LiveSet`: the live subscriptions, and the ring that lets them join
``subscription``   :class:`Subscription`: one subscriber's position in the log, and its states
``replay``         :class:`ReplayBudget`: bounds what subscriptions read of the log at once
``send_queue``     :class:`SendQueue`: bounded frames between the fan-out and a connection's trio task
``index``          finds the subscriptions that an event's topics concern
``turn``           bounds the time the fan-out works before other trio tasks run
``wire``           :class:`Wire`: the port through which frames reach a socket
``delivery``       accounts of delivered events
``settings``       the section ``hub``
=================  ==========================================================================
"""

from .delivery import DeliveryRecord, observe_delivery
from .hub import Hub
from .replay import ReplayBudget
from .send_queue import LatestSendQueue, SendQueue
from .settings import HubSettings
from .subscription import LimitedSubscriber, Overflow, Subscription, do_nothing
from .wire import Wire

__all__ = [
    "DeliveryRecord",
    "Hub",
    "HubSettings",
    "LatestSendQueue",
    "LimitedSubscriber",
    "Overflow",
    "ReplayBudget",
    "SendQueue",
    "Subscription",
    "Wire",
    "do_nothing",
    "observe_delivery",
]
