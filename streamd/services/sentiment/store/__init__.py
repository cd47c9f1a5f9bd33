"""The store of items and their totals: its port, and its implementations.

==========  ==================================================================================
``port``    :class:`ItemStore`: the operations
``sqlite``  :class:`.sqlite.SQLiteItemStore`: for one node, with the totals in its memory
``tables``  the tables of SQLite
``redis``   :class:`.redis.RedisItemStore`: for several nodes, with the totals in Redis
==========  ==================================================================================
"""

from .port import Inserted, ItemStore

__all__ = ["Inserted", "ItemStore"]
