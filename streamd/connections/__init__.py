"""Clients and their places: admission, health, heartbeats, and the operations programs use.

Imports events and the hub's ports; knows no transport.

================  ===========================================================================
``connection``    :class:`Connection`: one client over one transport
``registry``      :class:`Registry`: admits, finds, counts and ends connections
``health``        the one table of healthy, unhealthy and stale
``keeper``        the one task that sends heartbeats, ends lifetimes and reaps the stale
================  ===========================================================================
"""

from .connection import Closing, Connection, Identity
from .health import Health
from .keeper import keep
from .registry import Registry

__all__ = ["Closing", "Connection", "Health", "Identity", "Registry", "keep"]
