"""The store of orders: its port, and its implementations.

==========  ==========================================================
``port``    :class:`OrderStore`: the operations
``sqlite``  :class:`.sqlite.SQLiteOrderStore`: for one node
``redis``   :class:`.redis.RedisOrderStore`: for several nodes
==========  ==========================================================
"""

from .port import OrderStore, full

__all__ = ["OrderStore", "full"]
