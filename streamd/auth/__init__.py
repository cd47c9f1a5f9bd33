"""Access control: callers, what they may do, and the proofs that they bring.

::

    bearer token, cookie -> TokenVerifier -.
    ticket -> Tickets ----------------------+-> Caller -> Grant: publish, subscribe, tasks, admin
    nothing -------------------------------'      '-> Revocations: is its token still valid?

A grant's selectors match as those of subscriptions do (:mod:`streamd.events.topics`). Publishing needs a
grant for every topic of an event, reading one for at least one of them. The topics that streamd and its
services publish themselves are reserved: a grant covers them only where it names them.
"""

from .access import Access, Credentials, sees_all_tasks
from .caller import EVERYBODY, NOBODY, Caller
from .grants import Grant, TaskScope
from .reading import ReadingRights
from .revocation import Revocations
from .settings import AuthSettings
from .tickets import Tickets
from .tokens import TokenVerifier

__all__ = [
    "EVERYBODY",
    "NOBODY",
    "Access",
    "AuthSettings",
    "Caller",
    "Credentials",
    "Grant",
    "ReadingRights",
    "Revocations",
    "TaskScope",
    "Tickets",
    "TokenVerifier",
    "sees_all_tasks",
]
