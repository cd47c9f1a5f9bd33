"""What is counted of the last day and the last hour, to the millisecond, without looking at all items again.

An item counts while ``timestamp > now - window``: one that is exactly as old as the window has left it. The
other edge is open, since an item may be a little ahead of this clock: it counts from when it is taken.

Each item waits in a heap, as one whole number that holds its time and what it counts for; so it costs some
45 bytes, and looking at the totals costs what has changed since.
"""

from collections.abc import Mapping
from enum import StrEnum
from heapq import heappop, heappush
from typing import Final

import msgspec

HOUR_MS: Final = 3_600_000
_CODE_BITS: Final = 32  # below the time: which ticker, and two bits for which sentiment
_CODE_MASK: Final = (1 << _CODE_BITS) - 1
_NEVER: Final = -1 << 62  # before every time


class Sentiment(StrEnum):
    """How an item speaks of its share."""

    POSITIVE = "positive"
    NEUTRAL = "neutral"
    NEGATIVE = "negative"


_KINDS: Final = {sentiment.value: kind for kind, sentiment in enumerate(Sentiment)}


class Metrics(msgspec.Struct, frozen=True):
    """The totals, as they go over the wire."""

    total: int  # items in the window
    positive: int
    neutral: int
    negative: int
    by_tag: Mapping[str, int]  # items of each ticker that has some
    rate_last_hour: float  # items an hour, in the last hour
    rate_last_24h: float  # items an hour, in the window


class Totals:
    """Items of a sliding window, counted.

    All times are whole milliseconds since 1970. Time only goes forward here: a clock that is set back
    brings nothing back.

    Args:
        window_ms: what the totals cover; an hour at least, since the last hour is a part of it.

    Attributes:
        version: grows with everything that changes the metrics.
    """

    def __init__(self, window_ms: int) -> None:
        assert window_ms >= HOUR_MS, "the last hour is a part of the window"
        self.version = 0
        self._window_ms = window_ms
        self._heap: list[int] = []
        self._hour: list[int] = []  # the same numbers, of those in the last hour
        self._left = self._left_hour = _NEVER  # up to here items have left
        self._by_ticker: dict[str, int] = {}
        self._by_sentiment = [0] * len(_KINDS)
        self._codes: dict[str, int] = {}  # of the tickers that have items
        self._tickers: list[str] = []  # by their code
        self._free: list[int] = []  # codes of tickers that have no item any more

    def __len__(self) -> int:
        """Items that wait to leave, those included whose time came since the last look."""
        return len(self._heap)

    @property
    def tickers(self) -> Mapping[str, int]:
        """Items of each ticker that has some; not to be changed."""
        return self._by_ticker

    @property
    def next_change_ms(self) -> int | None:
        """When the next item leaves the last hour or the window; None when there is none."""
        times = []
        if self._heap:
            times.append((self._heap[0] >> _CODE_BITS) + self._window_ms)
        if self._hour:
            times.append((self._hour[0] >> _CODE_BITS) + HOUR_MS)
        return min(times, default=None)

    def add(self, timestamp_ms: int, ticker: str, sentiment: str) -> None:
        """Count an item, unless it is so late that it has left the window already.

        Args:
            sentiment: one of :class:`Sentiment`, or its value.
        """
        if timestamp_ms <= self._left:
            return
        kind = _KINDS[sentiment]
        entry = timestamp_ms << _CODE_BITS | self._code(ticker) << 2 | kind
        heappush(self._heap, entry)
        if timestamp_ms > self._left_hour:
            heappush(self._hour, entry)
        self._by_sentiment[kind] += 1
        self._by_ticker[ticker] = self._by_ticker.get(ticker, 0) + 1
        self.version += 1

    def expire(self, now_ms: int, *, most: int | None = None) -> bool:
        """Let go of what has left.

        Args:
            now_ms: the time.
            most: let go of so many at most, so that it takes a known time; None for all.

        Returns:
            Whether nothing is left that has to go.
        """
        self._left = max(self._left, now_ms - self._window_ms)
        self._left_hour = max(self._left_hour, now_ms - HOUR_MS)
        room = len(self._heap) + len(self._hour) if most is None else most
        room -= self._expire_hour(room)
        limit = self._left << _CODE_BITS | _CODE_MASK
        heap = self._heap
        while room and _is_due(heap, limit):
            self._forget(heappop(heap) & _CODE_MASK)
            room -= 1
        return not _is_due(heap, limit) and not _is_due(self._hour, self._hour_limit)

    def metrics(self, now_ms: int) -> Metrics:
        """What there is at this time, exactly."""
        self.expire(now_ms)
        positive, neutral, negative = self._by_sentiment
        return Metrics(
            total=len(self._heap),
            positive=positive,
            neutral=neutral,
            negative=negative,
            by_tag=dict(sorted(self._by_ticker.items())),
            rate_last_hour=float(len(self._hour)),
            rate_last_24h=len(self._heap) / (self._window_ms / HOUR_MS),
        )

    @property
    def _hour_limit(self) -> int:
        return self._left_hour << _CODE_BITS | _CODE_MASK

    def _expire_hour(self, room: int) -> int:
        hour, limit, gone = self._hour, self._hour_limit, 0
        while gone < room and _is_due(hour, limit):
            heappop(hour)
            gone += 1
        self.version += gone
        return gone

    def _code(self, ticker: str) -> int:
        code = self._codes.get(ticker)
        if code is None:
            if self._free:
                code = self._free.pop()
                self._tickers[code] = ticker
            else:
                code = len(self._tickers)
                self._tickers.append(ticker)
            self._codes[ticker] = code
        return code

    def _forget(self, code_and_kind: int) -> None:
        code, kind = code_and_kind >> 2, code_and_kind & 3
        ticker = self._tickers[code]
        self._by_sentiment[kind] -= 1
        self._by_ticker[ticker] -= 1
        if not self._by_ticker[ticker]:  # so that tickers which are not spoken of any more cost nothing
            del self._by_ticker[ticker], self._codes[ticker]
            self._free.append(code)
        self.version += 1


def _is_due(heap: list[int], limit: int) -> bool:
    return bool(heap) and heap[0] <= limit
