"""Publishing for one caller: the checks of rights and limits, for requests and WebSocket messages."""

from collections.abc import Awaitable, Sequence
from typing import Final

import attrs

from ..auth import Access, Caller
from ..broker import Broker
from ..errors import RequestError
from ..events import Draft, EventId, EventSettings
from ..events.bodies import EventBody, check_body
from ..limits import LimitName, TakenLimit, caller_key
from ..log.port import Receipt

_USERS: Final = "user:"  # before the names of users, which they may have chosen themselves
_TOKENS: Final = "token:"  # before the key and the id of a token without a user


@attrs.define(eq=False)
class PublishingDoor:
    """Publishes what one caller may publish.

    Args:
        broker: publishes.
        access: decides.
        caller: the caller, to whom its idempotency keys belong.
        address: of the client, to which its requests count without a user.
    """

    broker: Broker
    access: Access
    caller: Caller
    address: str

    @property
    def limits(self) -> EventSettings:
        """The limits of events."""
        return self.broker.settings.events

    def check_caller(self) -> None:
        """Check that the caller may still publish at all, before anything that it sends is decoded.

        Raises:
            Unauthorized: it has no token.
            InvalidToken: its token has expired or was revoked since the request began.
        """
        self.access.check_again(self.caller)

    def check(self, draft: Draft) -> None:
        """Check that the caller may publish an event, also late in a long body.

        Raises:
            InvalidToken: its token has expired or was revoked since the request began.
            Unauthorized, ReservedTopic, Forbidden: see :meth:`.Access.check_publishing`.
        """
        self.access.check_again(self.caller)
        self.access.check_publishing(self.caller, draft.topics)

    async def take_limits(self, events: int, size: int) -> list[TakenLimit]:
        """Ask the caller's limits about a number of events, in a body of a size (bytes)."""
        limits = self.broker.limits
        if not limits.limits_publishing:
            return []
        return await limits.take_published(self._limited_as, events, size)

    async def wait_for_limits(self, events: int, size: int) -> None:
        """Wait until the caller's limits allow a number of events, of a size (bytes).

        Raises:
            TooManyRequests: that would take minutes.
        """
        await self.broker.limits.wait_published(self._limited_as, events, size)

    def publish(self, drafts: Sequence[Draft]) -> Awaitable[list[Receipt]]:
        """Publish several events, all of them or none.

        Raises:
            Unauthorized, InvalidToken, ReservedTopic, Forbidden: the caller may not publish one of them.
            StreamdError: see :meth:`.Hub.publish_drafts`.
        """
        self.check_caller()
        for index, draft in enumerate(drafts):
            try:
                self.access.check_publishing(self.caller, draft.topics)
            except RequestError as error:
                if len(drafts) == 1:
                    raise
                raise type(error)(
                    f"event {index}: {error.detail}", field=f"[{index}].{error.field}"
                ) from error
        return self.broker.hub.publish_drafts(drafts, publisher=self._publisher)

    async def publish_message(self, body: EventBody, size: int) -> EventId:
        """Publish the event of a WebSocket message of a size (bytes), as a request with it alone would be.

        Raises:
            TooManyRequests: the caller's limits do not allow it.
            StreamdError: see :func:`.check_body` and :meth:`publish`.
        """
        request = await self.broker.limits.take(LimitName.PUBLISH, self._limited_as)
        if request is not None:
            request.check()
        draft = check_body(body, self.limits)
        for taken in await self.take_limits(1, size):
            taken.check()
        [receipt] = await self.publish([draft])
        return receipt.id

    @property
    def _limited_as(self) -> str:
        """The caller's key in the limits."""
        return caller_key(self.caller.user, self.address)

    @property
    def _publisher(self) -> str:
        """The owner of the caller's idempotency keys: never a part of the server, whatever its user is."""
        caller = self.caller
        if caller.user:
            return f"{_USERS}{caller.user}"
        return "" if self.access.is_open else f"{_TOKENS}{caller.key}:{caller.token_id}"
