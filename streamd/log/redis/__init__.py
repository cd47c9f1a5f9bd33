"""The log in Redis, which several nodes share.

Theory of operation
-------------------
Every change is one Lua script, so that all nodes see one order. The keys have one prefix, with a hash tag::

    log:2, log:1, log:0     streams of events: new ones, those moved once, and again; the ids ascend from
                            the begin of log:0 to the end of log:2
    log:moved               the last id that has left log:2
    index:000 ... fff       streams of ids, by the hash of a topic
    topics:0000 ... ffff    hashes, by the hash of a topic: what the topic has, its newest event, and the
                            floor up to which its events are dropped
    topics                  the numbers of those hashes that are used
    dropped, dropped:order  the newest dropped event of each topic, and the order of these records
    keys, keys:order        idempotency keys
    boundaries, meta        as in :mod:`streamd.log.boundaries`; the head and the totals
    nodes                   the nodes, with the server that each has joined last
    node:...                results of a node's last changes, for those that are sent again
    janitor                 the node that drops

1. **Appending.** One connection, one group of appends in flight; those called meanwhile form the next. After
   a lost connection the group is sent again, and an append whose result is stored is not repeated. Stores in
   the same keys send their changes in the same way, and may append events in the script of a change.
2. **Tailing.** Each node reads ``log:2`` from its own last id on. An append returns when this node's tail has
   its events, so that what a node has acknowledged it can also deliver. ``log:moved`` is read with it: a node
   that was late learns that entries had left ``log:2``, and reads those events as pages. An event may have a
   note, by which a store tells the other nodes of a change.
3. **Dropping** moves the floor of a topic; the event stays until the payload is compacted. An event is alive
   while it lies above the floors of all its topics. One node at a time, the janitor, decides what to drop;
   the script checks its decision against the exact counts.
4. **Compaction.** Nothing is deleted from the middle of the payload, which would free little: from the front
   of a stream, what is alive moves to the stream before it.
5. **Boundaries.** A server that is another than before, or was restarted, may have lost its last events. The
   first node that joins it opens a boundary (:mod:`.joining`). Nothing is appended until all nodes that the
   server knows have told it what they have seen, or a second has passed. So a boundary without a loss is no
   gap, and one with a loss is a gap for each reader that has not seen all of it. What only a node has seen
   that ended together with the server remains unknown: ``appendfsync always`` excludes that loss, and so
   does ``min-replicas-to-write`` with a failover as far as replicas keep up.
"""

from .log import RedisLog
from .probe import RedisProbe

__all__ = ["RedisLog", "RedisProbe"]
