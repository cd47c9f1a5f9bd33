"""Connections: clients from admission to release, with their health, heartbeats and operations.

Every connection takes a slot in the registry and gives it back in the same ``with`` block. Imports
events and the hub's ports; knows no transport.

================  ===========================================================================
``connection``    :class:`Connection`: one client over one transport, and its states
``registry``      :class:`Registry`: admits, finds, counts and ends connections
``group``         :class:`Group`: connections with one limit, one lifetime and one account
``health``        the table of healthy, unhealthy and stale
``resume``        the secrets by which anonymous clients replace their own connections
``totals``        counts of a group, which add up over nodes
``census``        :class:`Census`: connections and operations on them, on whichever node they are
``others``        the port to the counts of other nodes
``nodes``         several nodes on one Redis, as one
``broadcast``     one message to every connection that a filter selects
``turns``         visits to many connections without delaying the fan-out
``sweeper``       the trio task that sends heartbeats, ends lifetimes and aborts stale connections
``settings``      the sections ``connections`` and ``poll``
================  ===========================================================================
"""

from .broadcast import BroadcastOutcome, ConnectionFilter
from .census import Census, LocalCensus
from .connection import CloseReason, Connection, FrameSource, Identity, call_at_once
from .group import Group
from .health import Health
from .registry import Registry
from .settings import ConnectionSettings, PollSettings
from .sweeper import sweep_connections

__all__ = [
    "BroadcastOutcome",
    "Census",
    "CloseReason",
    "Connection",
    "ConnectionFilter",
    "ConnectionSettings",
    "FrameSource",
    "Group",
    "Health",
    "Identity",
    "LocalCensus",
    "PollSettings",
    "Registry",
    "call_at_once",
    "sweep_connections",
]
