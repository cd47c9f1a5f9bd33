"""The connections of several nodes on one Redis, as those of one.

Each node keeps its own connections, and the others ask it for them, through Redis' pub/sub. Nothing of a
connection is written to Redis, so that events cost nothing more to deliver, and a node that ends leaves
nothing behind. Without Redis a node goes on alone.

==========================  =========================================================================
list, state, send, close,   asked of all nodes at once; those that do not answer within 2 s are left
broadcast                   out
limits and statistics of    reported by each node to the others, at most every 0.2 s; a silent node
services, and of addresses  counts for 15 s
a client that reconnects    announced by its new node; the earlier node closes its connection
resume secrets              issued by all nodes with one key, which is in Redis
==========================  =========================================================================

``node`` puts the parts together: ``channel`` carries their ``messages``; ``census``, ``counts`` and
``replacing`` are the first three lines of the table. Imports ``redis``; only the runtime imports it, and only
where the log is in Redis.
"""

from .census import SharedCensus
from .node import ConnectionNode

__all__ = ["ConnectionNode", "SharedCensus"]
