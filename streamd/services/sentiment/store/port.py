"""The port of the store of items and their totals."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

import attrs

from ....errors import Unavailable
from ....idempotency import IdempotencyKey
from ..items import Item
from ..models import SentimentMetrics
from ..settings import SentimentSettings

WINDOW_MS: Final = 86_400_000
"""Length of the window of the totals (ms): the field ``rate_last_24h`` names it."""

_FULL_RETRY_SECONDS: Final = 60.0  # Retry-After of a limit that is met until items leave


@attrs.frozen
class Inserted:
    """Result of an insert."""

    new: Sequence[Item]  # the items with an unknown id, in request order
    accepted: int  # their number; of a request that was sent again, that of the first time
    timestamps_ms: Sequence[int]  # the timestamp that is stored for each id, in request order
    begin_ms: int  # the begin of the window: items up to this timestamp are not counted


class MetricsSource(Protocol):
    """The totals, as far as their publication needs them.

    A version stands for totals: they differ from those of another version, unless the versions are equal.

    Attributes:
        first_version: the version whose totals need no publication: there are no items.
    """

    @property
    def first_version(self) -> object: ...

    async def wait_for_change(self, version: object) -> None:
        """Wait until the totals have another version: an item was added, or one has left."""

    async def read(self) -> tuple[object, SentimentMetrics]:
        """Return the version and the exact totals of this moment.

        Raises:
            Unavailable: the store cannot be read now.
        """


class ItemStore(MetricsSource, Protocol):
    """The items, the known ids and idempotency keys, and the totals of the items in the window.

    Attributes:
        is_shared: True if other nodes change the items, too.
    """

    @property
    def is_shared(self) -> bool: ...

    async def open(self) -> None:
        """Load the totals of the stored items."""

    async def find_accepted(self, key: IdempotencyKey) -> int | None:
        """Return the number of items that a request with the key has added; None without such a request.

        Raises:
            IdempotencyConflict: that request had other content.
            Unavailable: the store cannot be read now.
        """

    async def insert(
        self, items: Sequence[Item], limits: SentimentSettings | None, key: IdempotencyKey | None = None
    ) -> Inserted:
        """Insert and count the items with an unknown id, and the key, in one step.

        A request with a known key inserts nothing. Cancelling takes effect before the step or not at all.

        Args:
            items: of one request.
            limits: the maximum numbers of items and tickers; None for a request whose key is known.
            key: of the request.

        Raises:
            IdempotencyConflict: a request with the key had other content.
            Unavailable: a limit is met, or the store cannot write now; nothing was inserted.
            OutcomeUnknown: the connection to a store that nodes share was lost, and did not come back.
        """

    async def snapshot(self) -> Callable[[], SentimentMetrics]:
        """Return a function that gives totals: those of its call, or of this one if nodes share the store."""

    async def purge(self) -> None:
        """Delete the expired items and keys, in steps.

        Raises:
            Unavailable: the store cannot write now.
        """

    async def hold(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run a work that one node at a time does, until cancelled."""


def too_many_items(limits: SentimentSettings) -> Unavailable:
    """Build the error for items over the limit."""
    return Unavailable(
        f"the limit of {limits.max_items} stored items is reached",
        field="items",
        retry_after_seconds=_FULL_RETRY_SECONDS,
    )


def too_many_tickers(limits: SentimentSettings, index: int, ticker: str) -> Unavailable:
    """Build the error for an item whose ticker is over the limit."""
    return Unavailable(
        f"{ticker} would exceed the limit of {limits.max_tickers} tickers",
        field=f"items[{index}].ticker",
        retry_after_seconds=_FULL_RETRY_SECONDS,
    )
