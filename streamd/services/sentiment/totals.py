"""Counters over a sliding window and over the last hour, exact to the millisecond.

An item counts while ``timestamp > now - window``: an item exactly as old as the window no longer counts. The
newer edge is open, because a timestamp may be slightly ahead of this clock: such an item counts at once.

A heap holds one integer per item, which packs its time, ticker and sentiment: about 45 bytes an item. Reading
the totals costs time only for the items that have left since the last read.
"""

from collections.abc import Mapping
from heapq import heappop, heappush
from typing import Final

from .models import Sentiment, SentimentMetrics

HOUR_MS: Final = 3_600_000
_CODE_BITS: Final = 32  # below the time: the ticker's code and two bits for the sentiment
_CODE_MASK: Final = (1 << _CODE_BITS) - 1
_NEVER: Final = -1 << 62  # earlier than every timestamp


_KINDS: Final = {sentiment.value: kind for kind, sentiment in enumerate(Sentiment)}


class Totals:
    """Counters of the items in a sliding window.

    All times are whole milliseconds since 1970. When the clock is set back, items that have left are not
    restored, and items that arrive later are counted by the new time.

    Args:
        window_ms: length of the window; at least an hour, because the last hour is a part of it.

    Attributes:
        version: increases with every change of the metrics.
    """

    def __init__(self, window_ms: int) -> None:
        assert window_ms >= HOUR_MS, "the window must cover the last hour"
        self.version = 0
        self._window_ms = window_ms
        self._heap: list[int] = []
        self._hour: list[int] = []  # the entries of the last hour
        self._left = self._left_hour = _NEVER  # items up to this timestamp leave
        self._by_ticker: dict[str, int] = {}
        self._by_sentiment = [0] * len(_KINDS)
        self._codes: dict[str, int] = {}  # by ticker, for tickers with items
        self._tickers: list[str] = []  # by code
        self._free: list[int] = []  # codes to reuse: their tickers have no items
        self._metrics: tuple[int, SentimentMetrics] | None = None  # the last ones, and their version

    def __len__(self) -> int:
        """Count the items held, including those that have left since the last :meth:`expire`."""
        return len(self._heap)

    @property
    def tickers(self) -> Mapping[str, int]:
        """Number of items per ticker with at least one item; read-only."""
        return self._by_ticker

    @property
    def next_change_ms(self) -> int | None:
        """Time at which the next item leaves the last hour or the window; None without items."""
        times = []
        if self._heap:
            times.append((self._heap[0] >> _CODE_BITS) + self._window_ms)
        if self._hour:
            times.append((self._hour[0] >> _CODE_BITS) + HOUR_MS)
        return min(times, default=None)

    def add(self, timestamp_ms: int, ticker: str, sentiment: str) -> None:
        """Count an item, unless its timestamp has left the window already.

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

    def expire(self, now_ms: int, *, limit: int | None = None) -> bool:
        """Remove the items that have left the window or the last hour.

        Args:
            now_ms: the current time.
            limit: maximum number of removals, which bounds the time this takes; None for no limit.

        Returns:
            True when all such items are removed.
        """
        self._left, self._left_hour = now_ms - self._window_ms, now_ms - HOUR_MS
        room = len(self._heap) + len(self._hour) if limit is None else limit
        while room and _has_left(self._hour, self._left_hour):
            heappop(self._hour)
            self.version += 1
            room -= 1
        while room and _has_left(self._heap, self._left):
            self._forget(heappop(self._heap) & _CODE_MASK)
            room -= 1
        return not _has_left(self._hour, self._left_hour) and not _has_left(self._heap, self._left)

    def metrics(self, now_ms: int) -> SentimentMetrics:
        """Return the exact metrics at ``now_ms``: the same object until they change."""
        self.expire(now_ms)
        if self._metrics is not None and self._metrics[0] == self.version:
            return self._metrics[1]
        positive, neutral, negative = self._by_sentiment
        metrics = SentimentMetrics(
            total=len(self._heap),
            positive=positive,
            neutral=neutral,
            negative=negative,
            by_tag=dict(sorted(self._by_ticker.items())),
            rate_last_hour=len(self._hour),
            rate_last_24h=len(self._heap),
        )
        self._metrics = self.version, metrics
        return metrics

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
        if not self._by_ticker[ticker]:  # a ticker without items must cost no memory
            del self._by_ticker[ticker], self._codes[ticker]
            self._free.append(code)
        self.version += 1


def _has_left(heap: list[int], left_ms: int) -> bool:
    """Return True if the earliest entry of a heap has a timestamp up to ``left_ms``."""
    return bool(heap) and heap[0] >> _CODE_BITS <= left_ms
