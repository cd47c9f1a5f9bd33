"""Read the items of a subscription, whatever its transport."""

from typing import Final, TypeVar, cast

from streamd.client import EventSubscription, Item, ReceivedEvent
from streamd.client.subscription import Transport

TRANSPORTS: Final = cast(tuple[Transport, ...], ("sse", "websocket", "poll"))
STREAMS: Final = cast(tuple[Transport, ...], ("sse", "websocket"))
T = TypeVar("T")


async def take(subscription: EventSubscription, kind: type[T]) -> T:
    """Return the next item of a kind, and skip the items before it."""
    async for item in subscription:
        if isinstance(item, kind):
            return item
    raise AssertionError(f"the stream ended without {kind}")


async def take_events(subscription: EventSubscription, count: int) -> tuple[list[ReceivedEvent], list[Item]]:
    """Return the next ``count`` events, and all other items before the last of them."""
    events: list[ReceivedEvent] = []
    others: list[Item] = []
    while len(events) < count:
        item = await anext(subscription)
        if isinstance(item, ReceivedEvent):
            events.append(item)
        else:
            others.append(item)
    return events, others
