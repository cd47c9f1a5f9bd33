"""Extraction of line items from plain text, such as an e-mail, by patterns.

::

    12 x Blue Mug (BM-1) @ 4.50 EUR      a count, the article, a price
    Blue Mug x 12 at $4.50 each          the count after it
    BM-1 Blue Mug - 12 pcs - 4,50 €      with a unit
    SKU: BM-1; Qty: 12; Price: 4.50      named values

A line that looks like an item but matches no pattern counts as unread, which lowers the confidence. Quoted
lines (``>``) are skipped.

The patterns take time in proportion to a line's length, because senders choose the lines. A run of separators
is matched possessively, and only from its begin: without that, a search tries each of its positions as the
begin, and each of them as the end.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import attrs
import msgspec

from ...steps import Steps
from .amounts import CURRENCY_PATTERN
from .columns import line_field, order_field

MAX_LINE_CHARS: Final = 300  # a longer line is prose
# Possessive and bounded, so that a run of digits cannot cause backtracking.
_NUMBER: Final = r"(?<![0-9])[0-9]++(?:[.,'’][0-9]++){0,5}+"
_UNIT: Final = r"(?:pcs?|pieces?|units?|ea|each|boxes|cartons?|packs?|bottles?|sets?|pairs?)\b\.?"
_TIMES: Final = r"(?:[x×*](?=[\s0-9])|[x×](?=\s|$))"
_AMOUNT: Final = rf"(?:(?:{CURRENCY_PATTERN})\s?)?{_NUMBER}(?:\s?(?:{CURRENCY_PATTERN})(?![A-Za-z]))?"
_EACH: Final = r"(?:\s*(?:/\s*|per\s+|a\s+)?(?:each|ea\.?|pcs?\.?|piece|unit|item))?"

_BULLET: Final = re.compile(r"^(?:[-*•–·]\s+|\(?[0-9]{1,3}[.)]\s+)")
_COUNT_FIRST: Final = re.compile(
    rf"(?P<quantity>{_NUMBER})\s*(?P<unit>{_TIMES}|{_UNIT})?\s*(?:of\s+)?(?P<rest>\S.*)", re.IGNORECASE
)
_COUNT_LAST: Final = re.compile(
    rf"(?P<rest>\S.*?)(?:(?<![\s,;:–-])|(?<=^.))[\s,;:–-]++(?:{_TIMES}\s*(?P<quantity>{_NUMBER})\b(?:\s*{_UNIT})?|(?P<quantity2>{_NUMBER})\s*{_UNIT})"
    r"(?P<tail>.*)",
    re.IGNORECASE,
)
_TOTAL: Final = re.compile(
    rf"(?<![\s,;–-])[\s,;–-]*+(?:=|\btotal:?)\s*(?P<total>{_AMOUNT})\s*$", re.IGNORECASE
)
_PRICE: Final = re.compile(
    rf"(?:(?<![\s,;:–-])[\s,;:–-]*+(?:@|\bat|\bfor|\beach:?|\bprice:?)\s*(?P<price>{_AMOUNT}){_EACH}"
    rf"|[\s]*[,;:|–-]\s+(?P<price2>{_AMOUNT}){_EACH}"
    rf"|\s+(?P<price3>(?:{CURRENCY_PATTERN})\s?{_NUMBER}|{_NUMBER}\s?(?:{CURRENCY_PATTERN})){_EACH})[\s.,;]*$",
    re.IGNORECASE,
)
_NAMED_SKU: Final = re.compile(
    r"(?<![\s,;(\[–-])[\s,;(\[–-]*+\b(?:sku|art(?:icle)?|part|ref|item)\b\.?\s*(?:no\b\.?|number|code)?\s*[:#]?\s*"
    r"(?P<sku>(?=[A-Za-z._/-]{0,30}[0-9])[A-Za-z0-9][A-Za-z0-9._/-]{0,62}[A-Za-z0-9])[)\]:,;]*",
    re.IGNORECASE,
)
_BRACKETED_SKU: Final = re.compile(
    r"\s*[(\[](?P<sku>(?=[A-Z._/-]{0,30}[0-9])[A-Z0-9][A-Z0-9._/-]{0,62}[A-Z0-9])[)\]]"
)
_LEADING_SKU: Final = re.compile(r"(?P<sku>(?=[A-Z-]{0,30}[0-9])[A-Z0-9]+(?:-[A-Z0-9]+)+)\b[:,]?\s+(?=\S)")
_ORDER_NUMBER: Final = re.compile(
    r"\b(?:po|purchase\s+order|order)\b\s*(?:number\b|no\b\.?|nr\b\.?|#)\s*[:#]?\s*(?P<number>[A-Za-z0-9][\w/-]{0,40})",
    re.IGNORECASE,
)
_NAMED: Final = re.compile(r"(?P<name>[A-Za-z][A-Za-z .#]{0,30}?)\s*[:=]\s*(?P<value>\S.*)")
NUMBER: Final = re.compile(_NUMBER)
_LOOKS_LIKE_ITEM: Final = re.compile(
    rf"{_NUMBER}\s*(?:{_TIMES}|{_UNIT})|(?:@|[$€£])\s*{_NUMBER}", re.IGNORECASE
)


@attrs.define
class _FoundItems:
    """The items and fields found so far."""

    lines: list[dict[str, str]] = attrs.field(factory=list)
    fields: dict[str, str] = attrs.field(factory=dict)
    unread: list[str] = attrs.field(factory=list)


def find_items(text: str, max_lines: int) -> Steps[dict[str, Any]]:
    """Find the items of a text, a line in each step: the facts for the rule ``orders.parse``.

    A line takes up to a millisecond. Stops after ``max_lines + 1`` items, so that the caller can refuse the
    text.

    Returns:
        ``fields`` of the order, ``lines`` with their values as written, and ``unread`` lines.
    """
    found = _FoundItems()
    for line in text.splitlines():
        if len(found.lines) > max_lines:
            break
        _read_line(" ".join(line.split()), found)
        yield
    return {"fields": found.fields, "lines": found.lines, "unread": found.unread}


def compose_items(facts: Mapping[str, Any]) -> str:
    """Apply the rule ``orders.parse``: format the facts as the JSON that a model would answer."""
    return msgspec.json.encode({**facts["fields"], "lines": facts["lines"]}).decode()


def _read_line(line: str, found: _FoundItems) -> None:
    if not line or line.startswith(">"):
        return
    if len(line) > MAX_LINE_CHARS:
        line = line[:MAX_LINE_CHARS]
    elif _read_field(line, found.fields) or _read_number(line, found.fields):
        return
    else:
        bare = _BULLET.sub("", line)
        item = _read_named(bare) or _read_item(bare)
        if item is not None:
            found.lines.append(item)
            return
    if _LOOKS_LIKE_ITEM.search(line):
        found.unread.append(line)


def _read_field(line: str, fields: dict[str, str]) -> bool:
    """Read a field such as ``Currency: EUR``. ``From:`` is skipped: it names the sender, not the supplier."""
    match = _NAMED.fullmatch(line)
    if match is None or (field := order_field(match["name"])) is None or match["name"].lower() == "from":
        return False
    if any(line_field(part.partition(":")[0]) == "quantity" for part in re.split(r"[,;|]", match["value"])):
        return False  # an item whose first value has the name of an order field
    fields.setdefault({"number": "orderNumber"}.get(field, field), match["value"])
    return True


def _read_number(line: str, fields: dict[str, str]) -> bool:
    match = _ORDER_NUMBER.search(line)
    if match is None or not any(character.isdigit() for character in match["number"]):
        return False
    fields.setdefault("orderNumber", match["number"])
    return True


def _read_named(line: str) -> dict[str, str] | None:
    """``SKU: BM-1; Qty: 12; Price: 4.50``, with the delimiter that it uses."""
    for delimiter in (";", "|", ", "):
        item: dict[str, str] = {}
        for part in line.split(delimiter):
            match = _NAMED.fullmatch(part.strip())
            field = line_field(match["name"]) if match else None
            if match and field and field not in item:
                item[field] = match["value"].strip()
            elif match is None and part.strip() and "description" not in item:
                item["description"] = part.strip()
        if "quantity" in item and ("sku" in item or "description" in item):
            return {_ANSWER_NAMES.get(field, field): value for field, value in item.items()}
    return None


_ANSWER_NAMES: Final = {"unit_price": "unitPrice", "image_url": "imageUrl"}


def _read_item(line: str) -> dict[str, str] | None:
    total = _TOTAL.search(line)
    body = line[: total.start()] if total else line
    item = _read_count_first(body) or _read_count_last(body)
    if item is not None and total:
        item["total"] = total["total"]
    return item


def _read_count_first(line: str) -> dict[str, str] | None:
    match = _COUNT_FIRST.fullmatch(line)
    if match is None:
        return None
    rest, price = _split_price(match["rest"])
    if match["unit"] is None and price is None:
        return None  # "2 weeks ago we asked": a leading number alone is not an item
    return _make_item(match["quantity"], rest, price)


def _read_count_last(line: str) -> dict[str, str] | None:
    match = _COUNT_LAST.fullmatch(line)
    if match is None:
        return None
    tail, price = _split_price(match["tail"]) if match["tail"].strip() else ("", None)
    if tail.strip(" ,;.:–-"):
        return None  # the remaining text would be lost
    return _make_item(match["quantity"] or match["quantity2"], match["rest"], price)


def _split_price(text: str) -> tuple[str, str | None]:
    match = _PRICE.search(text)
    if match is None:
        return text, None
    return text[: match.start()], match["price"] or match["price2"] or match["price3"]


def _make_item(quantity: str, rest: str, price: str | None) -> dict[str, str] | None:
    item = {"quantity": quantity}
    for pattern in (_NAMED_SKU, _BRACKETED_SKU, _LEADING_SKU):
        match = pattern.match(rest) if pattern is _LEADING_SKU else pattern.search(rest)
        if match is not None:
            item["sku"] = match["sku"]
            rest = f"{rest[: match.start()]} {rest[match.end() :]}"
            break
    description = " ".join(rest.split()).strip(" ,;:–-")
    if not description and "sku" not in item:
        return None
    if description and not any(character.isalpha() for character in description):
        return None
    if description:
        item["description"] = description
    if price is not None:
        item["unitPrice"] = price
    return item
