"""The task store: a port and its implementations.

==========  =====================================================================
``port``    :class:`TaskStore`: tasks, their outbox and their expiry
``memory``  the store in this process's memory
``sqlite``  the store in a SQLite database
``rows``    its rows, decoded or reported as damaged
``schema``  its tables, as migrations
==========  =====================================================================

Every implementation passes the contract suite in ``tests/contracts/``.
"""
