"""The body of ``POST /api/v2/items``: decode it, validate it as a whole, score the texts without a score.

Of every item the sentiment is that of its score, by the thresholds of :func:`streamd.text.sentiment_of`.
"""

import hashlib
import re
import secrets
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Final, NoReturn

import attrs
import msgspec

from ...characters import TextKind, check_text, quoted
from ...errors import InvalidField, RequestError, TooLarge
from ...events import Draft, EventLimits, format_time
from ...json import decoding_steps
from ...steps import Steps, one_step
from ...text import limit_score, score_in_steps, scoring_cost, sentiment_of
from .models import ItemBody, ItemsBody, Sentiment
from .settings import SentimentSettings

ITEMS_TOPIC: Final = "sentiment/items"
NEW_ITEM: Final = "new_item"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)
# Symbols as exchanges and their feeds write them: BRK.B, RDS-A, ^GSPC, EURUSD=X, 005930.KS, BTC_USD.
_TICKER: Final = re.compile(r"[A-Za-z0-9^][A-Za-z0-9.=^_-]*", re.ASCII)
_TICKER_CHARS_MAX: Final = 16  # the longest symbols in use have 12
_ID_BYTES: Final = 16
# Cost of the texts of one request that are scored: at most some seven seconds of computing for the costliest
# words. It allows a thousand texts of a thousand letters each.
SCORED_COST_MAX: Final = 1_000_000


@attrs.frozen
class Item:
    """A validated and scored item. Its text is not kept."""

    id: str
    ticker: str  # upper case
    sentiment: Sentiment
    score: float
    timestamp_ms: int  # since 1970, truncated to the millisecond
    draft: Draft  # its ``new_item`` event


def read_items(
    body: bytes,
    now_ms: int,
    settings: SentimentSettings,
    limits: EventLimits,
    score: Callable[[str], Steps[float]],
    key: str | None = None,
) -> Steps[list[Item]]:
    """Validate a request body and score the texts that have no score, in steps.

    Args:
        body: JSON, see :class:`ItemsBody`.
        now_ms: the current time (ms since 1970).
        limits: limits of an event.
        score: computes the score of a text, -1 to 1, in steps.
        key: the request's idempotency key. Items without an id get ids that follow from it, so that the
            request names the same items when it is sent again.

    Raises:
        InvalidBody, InvalidField, TooLarge: a value is not valid; ``field`` names it, such as
            ``items[3].ticker``. Or scoring the texts would take too long.
    """
    parsed: ItemsBody = yield from decoding_steps(body, ItemsBody)
    bodies = parsed.items
    if not bodies:
        raise InvalidField("items must hold at least one item", field="items")
    if len(bodies) > settings.max_items_per_request:
        raise TooLarge(
            f"items may hold at most {settings.max_items_per_request} items, got {len(bodies)}",
            field="items",
        )
    yield
    checked = []
    cost = 0
    for index, body_of_item in enumerate(bodies):
        item = _check(index, body_of_item, now_ms, settings, key)
        checked.append(item)
        cost += scoring_cost(item.text) if item.score is None else 0
        if cost > SCORED_COST_MAX:
            raise TooLarge(
                f"the texts without a score may have at most {SCORED_COST_MAX:,} characters in total, with"
                f" pictograms and letters from U+2190 on counted as ten; items[{index}] exceeds that",
                field="items",
            )
        yield
    # Scoring is expensive, so no text is scored before every item is known to be valid.
    items = []
    for index, item in enumerate(checked):
        value = item.score
        if value is None:
            value = yield from score(item.text)
        items.append(_finish(index, item, value, limits))
        yield
    return items


def score_items(
    body: bytes, now_ms: int, settings: SentimentSettings, limits: EventLimits
) -> Steps[list[float]]:
    """Validate a request's items as :func:`read_items` does, and return the scores of its texts, in steps.

    The scores are far less than the items for a worker process to send back.
    """
    scores = []

    def score(text: str) -> Steps[float]:
        value = yield from score_in_steps(text)
        scores.append(value)
        return value

    yield from read_items(body, now_ms, settings, limits, score)
    return scores


def known_scores(scores: Iterable[float]) -> Callable[[str], Steps[float]]:
    """Return a function for :func:`read_items` that returns the results of :func:`score_items`."""
    rest = iter(scores)
    return lambda _: one_step(next, rest)


def _check(index: int, item: ItemBody, now_ms: int, settings: SentimentSettings, key: str | None) -> ItemBody:
    """Return the item with its fields in the form that is stored: its time in UTC and whole milliseconds."""
    ticker = item.ticker.strip()
    if len(ticker) > _TICKER_CHARS_MAX or not _TICKER.fullmatch(ticker):
        _refuse(
            index,
            "ticker",
            f"be 1 to {_TICKER_CHARS_MAX} letters, digits and . = ^ _ -, got {quoted(item.ticker)}",
        )
    if not item.text.strip():
        _refuse(index, "text", "not be empty")
    if len(item.text) > settings.max_text_chars:
        field = f"items[{index}].text"
        raise TooLarge(
            f"{field} may have at most {settings.max_text_chars} characters, got {len(item.text)}",
            field=field,
        )
    check_text(item.text, f"items[{index}].text", TextKind.TEXT)
    id = item.item_id
    if id is not None:
        check_text(id, f"items[{index}].item_id", max_chars=settings.max_item_id_chars)
    timestamp_ms = now_ms if item.timestamp is None else (item.timestamp - _EPOCH) // _MS
    if timestamp_ms < 0:
        _refuse(index, "timestamp", "not be before 1970")
    if timestamp_ms - now_ms > 1000 * settings.max_ahead_seconds:
        _refuse(
            index,
            "timestamp",
            f"not be more than {settings.max_ahead_seconds:g} s ahead of this server's clock, which says"
            f" {format_time(_EPOCH + now_ms * _MS)}",
        )
    return msgspec.structs.replace(
        item,
        ticker=ticker.upper(),
        item_id=_make_id(key, index) if id is None else id,
        sentiment=_check_sentiment(index, item.sentiment, item.score),
        timestamp=_EPOCH + timestamp_ms * _MS,
    )


def _check_sentiment(index: int, given: str | None, score: float | None) -> str | None:
    """Return the given sentiment in lower case; it and the score must be valid and agree."""
    if score is not None and not -1 <= score <= 1:
        _refuse(index, "score", f"be a number from -1 to 1, got {score}")
    if given is None:
        return None
    sentiment = given.lower()
    if sentiment not in tuple(Sentiment):
        known = ", ".join(Sentiment)
        _refuse(index, "sentiment", f"be one of {known}, in any letter case; got {quoted(given)}")
    if score is not None and sentiment != sentiment_of(score):
        _refuse(
            index,
            "sentiment",
            f"agree with items[{index}].score: {score} is {sentiment_of(score)}, not {sentiment}"
            " (positive from 0.05, negative up to -0.05, neutral between them)",
        )
    return sentiment


def _refuse(index: int, name: str, must: str) -> NoReturn:
    field = f"items[{index}].{name}"
    raise InvalidField(f"{field} must {must}", field=field)


def _make_id(key: str | None, index: int) -> str:
    if key is None:
        return secrets.token_hex(_ID_BYTES)
    return hashlib.blake2b(f"{key} {index}".encode(), digest_size=_ID_BYTES).hexdigest()


def _finish(index: int, item: ItemBody, score: float, limits: EventLimits) -> Item:
    assert item.item_id is not None
    assert item.timestamp is not None
    sentiment = Sentiment(item.sentiment or sentiment_of(score))
    score = limit_score(score + 0.0, sentiment.value)  # turns -0.0 into 0.0
    data = {
        "item_id": item.item_id,
        "ticker": item.ticker,
        "sentiment": sentiment,
        "score": score,
        "timestamp": format_time(item.timestamp),
    }
    # The policy `latest` keeps the newest event per canonical topic and type. A canonical topic per item
    # keeps every item; streams subscribe to the shared topic.
    topics = (f"{ITEMS_TOPIC}/{item.item_id}", ITEMS_TOPIC)
    try:
        draft = Draft.create(topics, data, limits=limits, type=NEW_ITEM)
    except RequestError as error:  # the limits of an event are lower than those of an item
        raise type(error)(f"items[{index}]: {error.detail}", field=f"items[{index}]") from error
    return Item(item.item_id, item.ticker, sentiment, score, (item.timestamp - _EPOCH) // _MS, draft)
