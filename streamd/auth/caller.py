"""Callers: the senders of requests, as far as they have proved it."""

from typing import Final

import attrs

from .grants import EVERYTHING, NOTHING, Grant


@attrs.frozen(kw_only=True)
class Caller:
    """The sender of a request, and its grant.

    Args:
        user: the subject of its token; empty without one.
        merchant: the merchant whose topics and orders it may read; empty for none.
        grant: what it may do.
        key: name of the key that verified its token; :data:`OPEN` without keys, :data:`ANONYMOUS` without
            a token; empty for the clients of a program that did not ask for one.
        token_id: ``jti`` of its token, by which the token can be revoked; empty without one.
        issued_at: when its token was issued (s since 1970); None if that is not known.
        expires_at: when its token is no longer accepted (s since 1970); None for never.
    """

    user: str = ""
    merchant: str = ""
    grant: Grant = NOTHING
    key: str = ""
    token_id: str = ""
    issued_at: float | None = None
    expires_at: float | None = None


ANONYMOUS: Final = "anonymous"
NOBODY: Final = Caller(key=ANONYMOUS)
"""A caller without a token, where keys are configured."""

OPEN: Final = "open"
EVERYBODY: Final = Caller(grant=EVERYTHING, key=OPEN)
"""Any caller of a server without keys: it may do everything but publish on reserved topics."""
