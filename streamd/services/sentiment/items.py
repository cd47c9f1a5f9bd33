"""What ``POST /api/v2/items`` says, checked as a whole before anything of it is done.

What the caller says holds: a sentiment that is given stands beside whatever score is given or found, also
where the two seem to contradict each other, since the caller's model may draw its lines elsewhere.
"""

import json
import re
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, NoReturn

import attrs
import msgspec

from ...config.services import SentimentSettings
from ...errors import InvalidBody, InvalidField, RequestError, TooLarge
from ...events import Draft
from ...events.bodies import decode_json
from ...events.control import format_time
from ...events.event import Limits
from .scoring import sentiment_of
from .totals import Sentiment

ITEMS_TOPIC: Final = "sentiment/items"
NEW_ITEM: Final = "new_item"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)
# Symbols as exchanges and their feeds write them: BRK.B, RDS-A, ^GSPC, EURUSD=X, 005930.KS, BTC_USD.
_TICKER: Final = re.compile(r"[A-Za-z0-9^][A-Za-z0-9.=^_-]*", re.ASCII)
_TICKER_CHARS: Final = 16  # the longest in use have 12
_QUOTED_CHARS: Final = 64  # a message may quote what came in, which may be as long as the body
_NO_NUMBER: Final = re.compile(rb"NaN|Infinity")


class ItemBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One thing that was said of one share."""

    ticker: str
    text: str
    item_id: str | None = None  # the same id again changes nothing
    sentiment: Sentiment | None = None  # left out: what the score stands for
    score: float | None = None  # -1 to 1; left out: the text is scored
    timestamp: Annotated[datetime, msgspec.Meta(tz=True)] | None = None  # left out: now


class ItemsBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Some items, all of which are taken, or none."""

    items: list[ItemBody]


@attrs.frozen
class Item:
    """An item that can be taken as it is. Its text has been scored, and is not kept."""

    id: str
    ticker: str  # upper case
    sentiment: Sentiment
    score: float
    timestamp_ms: int  # since 1970; what is finer is cut off
    draft: Draft  # the event that tells of it


def read_items(
    body: bytes,
    now_ms: int,
    settings: SentimentSettings,
    limits: Limits,
    score: Callable[[str], float],
) -> list[Item]:
    """Check a request's body, and score the texts that come without a score.

    Args:
        body: JSON, see :class:`ItemsBody`.
        now_ms: the time (ms since 1970).
        limits: of an event.
        score: of a text, -1 to 1.

    Raises:
        InvalidBody, InvalidField, TooLarge: ``field`` is what is wrong, such as ``items[3].ticker``.
    """
    bodies = _decode(body).items
    if not bodies:
        raise InvalidField("items must hold at least one item", field="items")
    if len(bodies) > settings.max_items_per_request:
        raise TooLarge(
            f"at most {settings.max_items_per_request} items in one request, got {len(bodies)}",
            field="items",
        )
    checked = [_check(index, item, now_ms, settings) for index, item in enumerate(bodies)]
    # Only when nothing is wrong with any of them is it worth the time to score one.
    return [_finish(index, item, limits, score) for index, item in enumerate(checked)]


def _decode(body: bytes) -> ItemsBody:
    try:
        return decode_json(body, ItemsBody)
    except InvalidBody as error:
        if error.field is None and _NO_NUMBER.search(body) and (field := _find_no_number(body)):
            detail = f"{field} must be a value that JSON has, not NaN or Infinity"
            raise InvalidBody(detail, field=field) from error
        raise


class _NoNumber:
    """Stands for a NaN or an infinity, which many programs write as if JSON had them."""


def _find_no_number(body: bytes) -> str | None:
    try:
        value: Any = json.loads(body, parse_constant=lambda _: _NoNumber)
    except (ValueError, RecursionError):
        return None
    items = value.get("items") if isinstance(value, dict) else None
    for index, item in enumerate(items if isinstance(items, list) else ()):
        for name, found in item.items() if isinstance(item, dict) else ():
            if found is _NoNumber:
                return f"items[{index}].{name}"[:_QUOTED_CHARS]
    return None


def _check(index: int, item: ItemBody, now_ms: int, settings: SentimentSettings) -> ItemBody:
    """The item with its ticker, id and time as they are kept; the time in UTC, to the millisecond."""

    def refuse(name: str, must: str) -> NoReturn:
        field = f"items[{index}].{name}"
        raise InvalidField(f"{field} must {must}", field=field)

    ticker = item.ticker.strip()
    if len(ticker) > _TICKER_CHARS or not _TICKER.fullmatch(ticker):
        refuse(
            "ticker",
            f"be 1 to {_TICKER_CHARS} letters, digits and . = ^ _ -, got {item.ticker[:_QUOTED_CHARS]!r}",
        )
    if not item.text.strip():
        refuse("text", "not be empty")
    if len(item.text) > settings.max_text_chars:
        field = f"items[{index}].text"
        raise TooLarge(
            f"{field} has {len(item.text)} characters, the most is {settings.max_text_chars}", field=field
        )
    id = item.item_id
    if id is not None and not (0 < len(id) <= settings.max_item_id_chars and id.isprintable()):
        refuse("item_id", f"be printable text of 1 to {settings.max_item_id_chars} characters")
    if item.score is not None and not -1 <= item.score <= 1:
        refuse("score", f"be a number from -1 to 1, got {item.score}")
    timestamp_ms = now_ms if item.timestamp is None else (item.timestamp - _EPOCH) // _MS
    if timestamp_ms < 0:
        refuse("timestamp", "not be before 1970")
    if timestamp_ms - now_ms > 1000 * settings.max_ahead_seconds:
        refuse(
            "timestamp",
            f"not be more than {settings.max_ahead_seconds:g} s ahead of this server's clock, which says"
            f" {format_time(_EPOCH + now_ms * _MS)}",
        )
    return msgspec.structs.replace(
        item,
        ticker=ticker.upper(),
        item_id=secrets.token_hex(16) if id is None else id,
        timestamp=_EPOCH + timestamp_ms * _MS,
    )


def _finish(index: int, item: ItemBody, limits: Limits, score_of: Callable[[str], float]) -> Item:
    assert item.item_id is not None
    assert item.timestamp is not None
    score = item.score if item.score is not None else score_of(item.text)
    sentiment = item.sentiment or sentiment_of(score)
    data = {
        "item_id": item.item_id,
        "ticker": item.ticker,
        "sentiment": sentiment,
        "score": score,
        "timestamp": format_time(item.timestamp),
    }
    # A topic of its own comes first: the policy `latest` keeps the newest event of each first topic, and so
    # every item. Streams ask for the other.
    topics = (f"{ITEMS_TOPIC}/{item.item_id}", ITEMS_TOPIC)
    try:
        draft = Draft.create(topics, data, limits=limits, type=NEW_ITEM)
    except RequestError as error:  # this server's events are bounded more tightly than the items
        raise type(error)(f"items[{index}]: {error.detail}", field=f"items[{index}]") from error
    return Item(item.item_id, item.ticker, sentiment, score, (item.timestamp - _EPOCH) // _MS, draft)
