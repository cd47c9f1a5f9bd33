"""The log: assigns event ids, in one order for all subscribers, and keeps events for replay.

``port`` defines a log (pure Python, the layer below the hub). ``memory`` and ``sqlite`` implement it and pass
one contract suite in ``tests/contracts/``. The hub and everything above it import the port only;
``streamd.storage`` chooses the implementation.

==============  ====================================================================
``port``        :class:`~streamd.log.port.Log`, and the pages and receipts it returns
``memory``      :class:`~streamd.log.memory.MemoryLog`: events in this process
``windows``     the entries of that log, by topic and by age
``sqlite/``     :class:`~streamd.log.sqlite.SQLiteLog`: events in a file
``boundaries``  the starts of a log, between which events may have been lost
``retention``   the bounds of the events under one topic
``tail``        the readers that wait for the next events
``truncation``  how far the events of each topic were dropped
``topic_trie``  the topics of these records, found by pattern
``scan_time``   the time for which events are scanned for one page
``keys``        the idempotency keys of events
``clock``       the wall clock of event ids
``settings``    the section ``[log]``
==============  ====================================================================
"""
