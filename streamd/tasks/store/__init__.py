"""The task store: a port and its implementations.

=============  ==================================================================
``port``       :class:`TaskStore`: tasks, their outbox and their expiry
``room``       the room that changes need
``memory``     the store in this process's memory
``sqlite``     the store in a SQLite database
``appending``  its changes that append their events to the log in the same file
``rows``       its rows, decoded or reported as damaged
``schema``     its tables, as migrations
``redis``      the store in Redis, which several nodes share
=============  ==================================================================

Every implementation passes the contract suite in ``tests/contracts/``.
"""
