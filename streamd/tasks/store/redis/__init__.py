"""The task store in Redis, which several nodes share.

Theory of operation
-------------------
The keys have the prefix of the log, so that one script changes a task and appends its events::

    task:ID                     hash of a task: its number (the order of creation), its revision, the fields
                                that queries select by, the whole task as JSON in ``body``, input, result,
                                last message, published version, and the number of its rows in the outbox
    task-text:ID                list of the parts of its text
    tasks, tasks:kind:KIND, tasks:owner:OWNER, tasks:status:STATUS, tasks:status:STATUS:KIND
                                ids in the order of creation
    tasks:due                   ids of unfinished tasks, by the end of the lease or the deadline
    tasks:ended:KIND            ended tasks without rows in the outbox, by their end
    tasks:counts                numbers of tasks by kind and status
    tasks:keys                  idempotency keys, with the fingerprint and the id
    tasks:gone, tasks:gone:order
                                ids of deleted tasks, with the time, and the order of deletion
    tasks:outbox, tasks:outbox:rows, tasks:kept
                                the order of rows to be published, the rows, and tasks that are ending
    tasks:number                the last number that was given out

1. **Deciding.** A change is decided in Python, on a task that was read with its revision. Every change gives
   a task another revision. The script compares it: if another node was faster, it changes nothing and returns
   the task as it is now, on which the change is decided again. Changes of one task on one node wait for each
   other, so that they do not compete.
2. **Events.** The script that stores a change appends its events to the log, while the outbox is empty. Rows
   enter the outbox only without a publisher, or while it has earlier rows, so that the events of a task keep
   their order.
3. **Lost connections.** The scripts go through the queue of the log (:mod:`streamd.log.redis.appending`).
   After a lost connection they are sent again, and one that ran returns its reply again: a change is neither
   made twice, nor reported as a conflict to its own caller.
4. **Time.** Leases, deadlines and ends are compared with the time that the caller passes in, so the steady
   clocks of all nodes must agree: each starts at the server's time (:meth:`.RedisTaskStore.start_clock`).
5. **Small steps.** Lists are read, and tasks are deleted, some at a time; each step is one script.
"""

from .store import RedisTaskStore

__all__ = ["RedisTaskStore"]
