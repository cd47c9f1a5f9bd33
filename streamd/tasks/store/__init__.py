"""The task store: a port and its implementations.

==========  =====================================================================
``port``    :class:`TaskStore`: tasks, their outbox and their expiry
``memory``  the store in this process
``sqlite``  the store in the database file
==========  =====================================================================

Every implementation passes the contract suite in ``tests/contracts/``.
"""
