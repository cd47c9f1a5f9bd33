"""Revocation: tokens that are refused before they expire, by their id (``jti``) and by their user.

::

    revoke_token, revoke_user ── store.add ──> SQLite or Redis ── read at the start ──> Revocations.is_revoked
    auth.revoked_tokens, auth.revoked_users ────────────────────────────────────────────────'  (in memory)

    on several nodes:   store.add ──> Redis <── each half second: are there new changes? ── node

1. The revocation of a user covers the tokens that were issued until its moment, and those that do not tell
   when: the user can go on with a token that is issued later. A setting covers all tokens of a user.
2. Revocations are only added, and expire a day after the last token that they cover; none is taken back. So
   the revocations of two nodes are merged by keeping both, whatever the order in which they arrive.
3. A node decides by what it has in memory, also while Redis is away. If Redis comes back without some of
   them, after a restart or failover that lost writes, the nodes that know them store them again.
4. ``exp`` and ``iat`` are times of the wall clock of the tokens' issuer, so revocations use the wall clock.

===============  ===================================================================================
``revocations``  :class:`Revocations`: decides, adds, and follows other nodes
``port``         :class:`Revocation`, and :class:`RevocationStore`: the stored revocations
``memory``       :class:`.memory.MemoryRevocationStore`: until the process ends
``sqlite``       :class:`.sqlite.SQLiteRevocationStore`: survive the process
``redis``        :class:`.redis.RedisRevocationStore`: for nodes on one Redis
===============  ===================================================================================
"""

from .port import MAX_REVOCATIONS, Revocation, RevocationKind, RevocationReading, RevocationStore
from .revocations import Revocations

__all__ = [
    "MAX_REVOCATIONS",
    "Revocation",
    "RevocationKind",
    "RevocationReading",
    "RevocationStore",
    "Revocations",
]
