"""The confidence in an order, and the grounds of its lines in the text that it was read from."""

from decimal import Decimal
from typing import Final

from ...steps import Steps
from .amounts import AmountError, minor_unit, parse_amount
from .mail import NUMBER
from .order import Order, OrderLine

# Confidence in a line, in points of 100. A line without a quantity is refused, so these points are constant.
_QUANTITY_POINTS: Final = 40
_PRICE_POINTS: Final = 25
_SKU_POINTS: Final = 20
_DESCRIPTION_POINTS: Final = 15
_WRONG_TOTAL_POINTS: Final = -25


def ungrounded_lines(order: Order, text: str) -> Steps[frozenset[int]]:
    """Find the lines with a SKU, quantity or price that the source text does not contain, in steps."""
    numbers = yield from _numbers_in(text)
    folded = text.casefold()

    def is_grounded(line: OrderLine) -> bool:
        return (
            line.sku.casefold() in folded
            and Decimal(line.quantity) in numbers
            and (line.unit_price is None or line.unit_price in numbers)
        )

    ungrounded = set()
    for line in order.lines:
        if not is_grounded(line):
            ungrounded.add(line.number)
        yield
    return frozenset(ungrounded)


def _numbers_in(text: str) -> Steps[set[Decimal]]:
    """Return every number in a text, in each possible reading."""
    numbers = set()
    read: set[str] = set()
    for match in NUMBER.finditer(text):
        found = match[0]
        if found not in read:
            read.add(found)
            for mark in (".", ","):
                try:
                    numbers.add(parse_amount(found, mark).value)
                except AmountError:
                    continue
        yield
    return numbers


def confidence_of(order: Order, ungrounded: frozenset[int] = frozenset()) -> float:
    """Compute the confidence in an order, 0 to 100.

    The mean over all lines, unread ones included with 0 points. A line has 40 points for its quantity, 25 for
    a price, 20 for a SKU and 15 for a description, minus 25 if its total is not quantity times price; an
    ungrounded line counts half.
    """
    points = 0.0
    for line in order.lines:
        score = (
            _QUANTITY_POINTS
            + _PRICE_POINTS * (line.unit_price is not None)
            + _SKU_POINTS * bool(line.sku)
            + _DESCRIPTION_POINTS * bool(line.description)
            + _WRONG_TOTAL_POINTS * (not total_agrees(line, line.currency or order.currency))
        )
        points += score / 2 if line.number in ungrounded else score
    return round(points / (len(order.lines) + order.unread), 1)


def total_agrees(line: OrderLine, currency: str) -> bool:
    """Return True if a line's total, if any, equals quantity times price up to one minor unit."""
    if line.total is None or line.unit_price is None:
        return True
    return abs(line.quantity * line.unit_price - line.total) <= minor_unit(currency)
