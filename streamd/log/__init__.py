"""The log: assigns event ids, in one order for all subscribers, and keeps events for replay.

``port`` defines a log (pure Python, the layer below the hub). Each other module is one implementation, and
all of them pass the contract suite in ``tests/contracts/``. The hub and everything above it import the
port only; the composition root chooses the implementation.

===========  ==================================================================
``port``     :class:`~streamd.log.port.Log`, and the pages and receipts it returns
``memory``   :class:`~streamd.log.memory.MemoryLog`: events in this process
===========  ==================================================================
"""
