"""Sentiment dashboard: live totals of positive, neutral and negative items per ticker (``/api/v2``).

==============  =================================================================================
``service``     ``make``: builds the dashboard and its routes
``routes``      the HTTP routes
``models``      the JSON bodies and answers
``items``       validation of a request's items
``totals``      the sliding windows, in memory
``store``       the items in SQLite, or in Redis for several nodes
``feed``        publishing of ``metrics`` and ``new_item``
``dashboard``   :class:`Dashboard`: stores items, counts them, queues their events
==============  =================================================================================

The way of an item: ``POST /items`` - validated and scored - stored - counted - published as ``new_item``.

Guarantees:

- The totals cover ``now - window < timestamp``. A late item counts for the rest of its time; an item older
  than the window is stored and published, but not counted: the answer lists it in ``outside_window``. An item
  ahead of this clock counts at once, and is refused beyond ``max_ahead_seconds``. Timestamps have millisecond
  precision.
- ``rate_last_hour`` and ``rate_last_24h`` are the numbers of items in the last hour and in the last 24 hours.
- An item's sentiment always agrees with its score, by VADER's thresholds. A request in which a sentiment
  contradicts a score is refused. A score without a sentiment decides it. A sentiment without a score is kept,
  and the text's score is limited to that sentiment's range.
- An ``item_id`` is known for the window's length after its receipt, across restarts. During that time the
  same id changes nothing, whatever the other fields say. ``accepted`` counts the new ids.
- An ``Idempotency-Key`` is known for the same time. The same request gets the answer of the first time: items
  without an id have ids that follow from the key, and ``accepted`` is stored with it. Each key counts as one
  item against ``max_items``.
- Streams use the overflow policy ``latest``, which keeps the newest ``metrics`` for a slow client. Each
  ``new_item`` has its own canonical topic, so that no two are merged: a slow client receives every item that
  the log keeps.
- A stream begins with the current totals. They carry no id, so a client that resumes still receives the
  events it missed, the newest ``metrics`` among them.

With several nodes on one Redis, which keeps about 350 bytes for an item:

- Ids, keys, limits and totals are those of all nodes, by the clock of the server. ``max_unpublished`` alone
  is a limit of each node.
- A node publishes ``new_item`` for the items that it has inserted. One node, the holder of a lease, publishes
  ``metrics`` for all: within two seconds of a change on another node. A node that ends gives the lease back;
  after a crash, another node has it within 15 seconds.
- A stream begins with totals read after its position in the log was chosen: no event is lost in between, and
  a ``metrics`` event that follows may be the same, or a moment older.
"""
