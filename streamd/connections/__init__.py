"""Clients and their places: admission, health, heartbeats, and the operations programs use.

Imports events and the hub's ports; knows no transport.

================  ===========================================================================
``connection``    :class:`Connection`: one client over one transport
``registry``      :class:`Registry`: admits, finds, counts and ends connections
``group``         :class:`Group`: connections that share a bound and an account
``health``        the one table of healthy, unhealthy and stale
``keeper``        the one task that sends heartbeats, ends lifetimes and reaps the stale
================  ===========================================================================
"""

from .connection import Closing, Connection, Identity
from .group import Group
from .health import Health
from .registry import Registry
from .sweeper import sweep_connections

__all__ = ["Closing", "Connection", "Group", "Health", "Identity", "Registry", "sweep_connections"]
