"""Normalization of an order: SKUs, one currency, payable totals."""

import unicodedata
from decimal import Decimal

import attrs

from ...errors import InvalidField
from .amounts import ANY_DOLLAR, DOLLARS, decimal_text, to_minor
from .confidence import total_agrees
from .order import Notice, Order, OrderLine


@attrs.frozen
class Normalized:
    """A normalized order, and the warnings for a person to check."""

    order: Order  # with currency and totals; the total of a line without a price is None
    warnings: tuple[Notice, ...]


def normalize_sku(sku: str) -> str:
    """Normalize a SKU: NFKC, upper case, a hyphen for each run of spaces."""
    return "-".join(unicodedata.normalize("NFKC", sku).upper().split())


def normalize_order(order: Order, default_currency: str) -> Normalized:
    """Normalize an order; the operation is idempotent.

    Totals are computed as quantity times unit price, rounded half up to the currency's minor unit. A
    different total in the document becomes a warning. A line with a total and no unit price gets the price
    from the total, if the division is exact.

    Args:
        order: the parsed order.
        default_currency: the currency if the order names none.

    Raises:
        InvalidField: the amounts are in more than one currency.
    """
    currency = choose_currency(order, default_currency)
    warnings: list[Notice] = []
    lines = tuple(_normalize_line(line, currency, warnings) for line in order.lines)
    total = to_minor(sum((line.total for line in lines if line.total is not None), Decimal(0)), currency)
    if order.total is not None and to_minor(order.total, currency) != total:
        stated = f"the order says {decimal_text(order.total)}"
        warnings.append(Notice(field="total", message=f"the lines come to {decimal_text(total)}, {stated}"))
    return Normalized(attrs.evolve(order, lines=lines, currency=currency, total=total), tuple(warnings))


def choose_currency(order: Order, default: str) -> str:
    """Determine the single currency of an order.

    Raises:
        InvalidField: the order names two currencies.
    """
    named = order.currency
    places = {"": "the order"}
    chosen = named if named != ANY_DOLLAR else ""
    for line in order.lines:
        if not line.currency or line.currency == ANY_DOLLAR:
            continue
        if chosen and line.currency != chosen:
            other = places.get(chosen, "the order")
            raise InvalidField(
                f"{line.location} is in {line.currency}, {other} in {chosen}",
                field=f"{line.location}, currency",
            )
        chosen = line.currency
        places.setdefault(chosen, line.location)
    dollars = ANY_DOLLAR in {named, *(line.currency for line in order.lines)}
    if not chosen:
        return default if not dollars or default in DOLLARS else "USD"
    if dollars and chosen not in DOLLARS:
        location = next((line.location for line in order.lines if line.currency == ANY_DOLLAR), "the order")
        raise InvalidField(f"{location} is in dollars, the order in {chosen}", field=f"{location}, currency")
    return chosen


def _normalize_line(line: OrderLine, currency: str, warnings: list[Notice]) -> OrderLine:
    price, total = line.unit_price, None if line.total is None else to_minor(line.total, currency)
    if price is None and total is not None:
        each = total / line.quantity
        if each * line.quantity == total and each == round(each, 4):
            price = each
        else:
            warnings.append(
                Notice(
                    field=f"{line.location}, total",
                    message="the total gives no exact unit price, so the line has none",
                )
            )
    computed = None if price is None else to_minor(line.quantity * price, currency)
    if computed is not None and not total_agrees(line, currency):
        stated = decimal_text(line.total) if line.total is not None else ""
        warnings.append(
            Notice(
                field=f"{line.location}, total",
                message=f"{line.quantity} x {decimal_text(price or Decimal(0))} is {decimal_text(computed)}, "
                f"the line says {stated}",
            )
        )
    return attrs.evolve(
        line,
        sku=normalize_sku(line.sku),
        unit_price=None if price is None else _tidy_price(price, currency),
        total=total if computed is None else computed,
        currency=currency,
    )


def _tidy_price(price: Decimal, currency: str) -> Decimal:
    """Format a price with the currency's decimals, and with more only if they are not zero."""
    payable = to_minor(price, currency)
    return payable if payable == price else price.normalize()
