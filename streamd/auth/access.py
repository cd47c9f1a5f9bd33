"""Access: identifies the caller of a request, and decides what it may do."""

import time
from collections.abc import Callable, Iterable
from typing import Final, Protocol
from weakref import WeakValueDictionary

import attrs

from ..characters import quoted
from ..errors import Forbidden, InvalidToken, NotFound, ReservedTopic, Unauthorized
from ..events import Selectors
from ..events.topics import ALL
from .caller import ANONYMOUS, EVERYBODY, NOBODY, OPEN, Caller
from .grants import TaskScope
from .reading import ReadingRights, ReadingScope, foreign_merchant
from .reserved import ReservedTopics
from .settings import AuthSettings


@attrs.frozen
class Credentials:
    """The proofs of a request. Empty texts stand for none.

    Args:
        token: of the header ``Authorization: Bearer`` (RFC 6750), else of the cookie.
        ticket: of the query.
    """

    token: str = attrs.field(default="", repr=False)
    ticket: str = attrs.field(default="", repr=False)


class TokenSource(Protocol):
    """Verifies tokens."""

    def knows(self, name: str) -> bool:
        """Return True if tokens of the key with this name are accepted."""

    async def verify(self, text: str) -> Caller:
        """Return the caller that a token names.

        Raises:
            InvalidToken: it cannot be used.
            Unavailable: its key cannot be fetched now.
        """


class TicketSource(Protocol):
    """Redeems tickets."""

    async def redeem(self, text: str) -> Caller:
        """Return the caller to whom a ticket was given; it is spent then.

        Raises:
            InvalidToken: there is no such ticket any more.
            Unavailable: the tickets cannot be read now.
        """


class RevocationSource(Protocol):
    """Knows what is revoked."""

    def is_revoked(self, caller: Caller) -> bool:
        """Return True if the caller's token is revoked."""


class Access:
    """Identifies callers, and decides what they may do.

    Args:
        settings: of access control.
        tokens, tickets, revocations: see the protocols.
        now: the wall clock (s since 1970).

    Attributes:
        is_open: True without keys: every caller may do everything but publish on reserved topics.
        reserved: the topics that only their owners publish.
    """

    def __init__(
        self,
        settings: AuthSettings,
        tokens: TokenSource,
        tickets: TicketSource,
        revocations: RevocationSource,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings
        self.reserved: Final = ReservedTopics()
        self._tokens = tokens
        self._tickets = tickets
        self._revocations = revocations
        self._now = now
        self._rights: WeakValueDictionary[ReadingScope, ReadingRights] = WeakValueDictionary()

    @property
    def settings(self) -> AuthSettings:
        """The settings of access control, which may be replaced at any time."""
        return self._settings

    @settings.setter
    def settings(self, settings: AuthSettings) -> None:
        self._settings = settings
        self.is_open = not settings.has_keys  # every request asks for it several times

    async def identify(self, credentials: Credentials) -> Caller:
        """Return the caller that sends a request.

        Raises:
            InvalidToken: the token or ticket cannot be used; nobody is taken for somebody else.
            Unavailable: the key or the ticket cannot be read now.
        """
        if self.is_open:
            return EVERYBODY
        if credentials.token:
            caller = await self._tokens.verify(credentials.token)
        elif credentials.ticket:
            caller = await self._tickets.redeem(credentials.ticket)
        else:
            return NOBODY
        if not self.still_holds(caller):
            raise InvalidToken("the token is revoked", field="Authorization")
        return caller

    def still_holds(self, caller: Caller) -> bool:
        """Return True for a caller who was identified before, and whose proof would be accepted again."""
        if caller.key == OPEN:
            return self.is_open
        if caller.key == ANONYMOUS:
            return self.settings.anonymous
        if caller.key and not self._tokens.knows(caller.key):
            return False
        return not self._revocations.is_revoked(caller)

    def check_again(self, caller: Caller) -> None:
        """Check that a caller who was identified before would be identified again: requests may last.

        Raises:
            Unauthorized: it has no token.
            InvalidToken: its token has expired, or is revoked, or its key is gone.
        """
        if caller.key == OPEN and self.is_open:
            return
        self.demand_token(caller)
        if caller.expires_at is not None and self._now() >= caller.expires_at:
            raise InvalidToken("the token has expired (exp)", field="Authorization")
        if not self.still_holds(caller):
            raise InvalidToken("the token is revoked", field="Authorization")

    # --- events -----------------------------------------------------------------------------------

    def check_publishing(self, caller: Caller, topics: tuple[str, ...]) -> None:
        """Check that a caller may publish an event under some topics.

        Raises:
            Unauthorized: it has no token.
            ReservedTopic: one of the topics belongs to streamd or a service.
            Forbidden: one of the topics is not granted.
        """
        if caller is NOBODY:
            self.demand_token(caller)
        blocked = self.reserved.blocked(topics, caller.grant)
        if blocked is not None:
            raise ReservedTopic(f"the topic {quoted(blocked)} is published by its owner alone", field="topic")
        granted = caller.grant.publish
        if granted is ALL:
            return
        for topic in topics:
            if not granted.matches((topic,)):
                raise Forbidden(f"the token grants no publishing to {quoted(topic)}", field="topic")

    def reading_rights(
        self, caller: Caller, selectors: Selectors, own_topics: Iterable[str] = ()
    ) -> ReadingRights | None:
        """Check a subscription, and return its rights; None for a caller that may read everything.

        Selectors only route: a subscription may name what no grant covers, and receives nothing of it.
        Callers with equal rights get the same object.

        Args:
            caller: the caller.
            selectors: of the subscription.
            own_topics: the topics of tasks that were found to be the caller's.

        Raises:
            Unauthorized: a caller without a token may read nothing.
            Forbidden: the token grants no reading at all, or the subscription names a merchant who is not
                the caller's.
        """
        if caller.grant.admin:
            return None
        foreign = foreign_merchant(selectors, caller)
        if foreign is not None:
            self.demand_token(caller)
            raise Forbidden(f"{quoted(foreign)} names another merchant than the token", field="topic")
        reads_tasks = caller.grant.tasks is not TaskScope.NONE
        if not (self.settings.anonymous or caller.grant.subscribe or caller.merchant or reads_tasks):
            self.demand_token(caller)
            raise Forbidden("the token grants no reading", field="Authorization")
        scope = ReadingScope.of(caller, own_topics)
        rights = self._rights.get(scope)
        if rights is None:
            rights = self._rights[scope] = ReadingRights(scope, lambda: self.settings.anonymous)
        return rights

    def check_reading(self, caller: Caller, topic: str) -> None:
        """Check that a caller may read the events of a topic that has no owner and is not private.

        Raises:
            Unauthorized, Forbidden: it may not.
        """
        if not self.settings.anonymous and not caller.grant.covers_reading((topic,)):
            self.demand_token(caller)
            raise Forbidden(f"the token grants no reading of {quoted(topic)}", field="Authorization")

    # --- tasks ------------------------------------------------------------------------------------

    def demand_tasks(self, caller: Caller) -> None:
        """Check that a caller may use tasks, at least those of its own.

        Raises:
            Unauthorized, Forbidden: it may not.
        """
        if not caller.grant.admin and caller.grant.tasks is TaskScope.NONE:
            self.demand_token(caller)
            raise Forbidden("the token grants no tasks", field="Authorization")

    def demand_all_tasks(self, caller: Caller) -> None:
        """Check that a caller may use all tasks, as workers need.

        Raises:
            Unauthorized, Forbidden: it may not.
        """
        if not sees_all_tasks(caller):
            self.demand_token(caller)
            raise Forbidden("the token does not grant all tasks", field="Authorization")

    def check_task(self, caller: Caller, owner: str, *, of_merchant: bool) -> None:
        """Check that a caller may use a task; a task of others is not there for it.

        Args:
            caller: the caller.
            owner: of the task.
            of_merchant: the owner is a merchant and no user.

        Raises:
            Unauthorized: the caller has no token.
            NotFound: the task belongs to others.
        """
        if sees_all_tasks(caller):
            return
        own = caller.merchant if of_merchant else caller.user
        if own and own == owner and (of_merchant or caller.grant.tasks is TaskScope.OWN):
            return
        self.demand_token(caller)
        raise NotFound("there is no such task", field="id")

    def check_merchant(self, caller: Caller, merchant: str) -> None:
        """Check that a caller may act for a merchant.

        Raises:
            Unauthorized, Forbidden: it may not.
        """
        if not caller.grant.admin and (not merchant or caller.merchant != merchant):
            self.demand_token(caller)
            raise Forbidden("the token is not that of the merchant", field="Authorization")

    # --- administration ---------------------------------------------------------------------------

    def demand_admin(self, caller: Caller) -> None:
        """Check that a caller is an administrator.

        Raises:
            Unauthorized, Forbidden: it is not.
        """
        if not caller.grant.admin:
            self.demand_token(caller)
            raise Forbidden("the token is not that of an administrator", field="Authorization")

    @staticmethod
    def demand_token(caller: Caller) -> None:
        """Check that a caller has a token.

        Raises:
            Unauthorized: it has none.
        """
        if caller is NOBODY:
            raise Unauthorized("this needs a token: Authorization: Bearer …", field="Authorization")


def sees_all_tasks(caller: Caller) -> bool:
    """Return True if a caller may use the tasks of everybody."""
    return caller.grant.admin or caller.grant.tasks is TaskScope.ALL
