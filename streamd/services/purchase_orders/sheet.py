"""Cells of a document with their locations, and their conversion to an order."""

import unicodedata
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Final

import attrs

from ...characters import TextKind, check_text
from ...errors import InvalidBody, InvalidField, TooLarge
from .amounts import Amount, AmountError, bounded, currency_of, decimal_mark, parse_amount, shown, whole
from .order import Order, OrderLimits, OrderLine

_AMOUNT_FIELDS: Final = ("quantity", "unit_price", "total")
_PROSE_FIELDS: Final = ("description", "note")  # the others are names and numbers


@attrs.frozen
class Cell:
    """One value of the document."""

    text: str
    location: str  # its name in error messages: ``line 3, column Qty`` or ``lines[2].quantity``
    is_number: bool = False  # a JSON number: its decimal mark is a point


@attrs.frozen
class Row:
    """The cells of one line item by field."""

    location: str
    cells: Mapping[str, Cell]


@attrs.frozen
class Sheet:
    """The cells of a document, not parsed yet."""

    rows: Sequence[Row]
    fields: Mapping[str, Cell] = attrs.field(factory=dict)  # of the whole order


def make_order(sheet: Sheet, limits: OrderLimits) -> Order:
    """Parse every cell of a sheet into an order.

    Raises:
        InvalidBody: there are no lines.
        InvalidField: a value is invalid or missing; ``field`` is its location.
    """
    if not sheet.rows:
        raise InvalidBody("the order has no lines", field="lines")
    mark = decimal_mark(
        cell.text
        for cells in (sheet.fields, *(row.cells for row in sheet.rows))
        for field, cell in cells.items()
        if field in _AMOUNT_FIELDS and not cell.is_number
    )
    header = _Cells(sheet.fields, mark, limits)
    total = header.amount("total")
    return Order(
        lines=tuple(_make_line(number, row, mark, limits) for number, row in enumerate(sheet.rows, 1)),
        number=header.text("number"),
        supplier=header.text("supplier"),
        currency=header.currency() or (total.currency if total else ""),
        total=total.value if total else None,
        note=header.text("note"),
    )


def check_count(lines: int, limits: OrderLimits) -> None:
    """Refuse an order with too many lines.

    Raises:
        TooLarge: there are more lines than ``limits.max_lines``.
    """
    if lines > limits.max_lines:
        raise TooLarge(f"the order has more than {limits.max_lines} lines", field="lines")


def _make_line(number: int, row: Row, mark: str | None, limits: OrderLimits) -> OrderLine:
    cells = _Cells(row.cells, mark, limits)
    sku, description = cells.text("sku"), cells.text("description")
    if not sku and not description:
        raise InvalidField(f"{row.location} needs a sku or a description", field=f"{row.location}, sku")
    price, total = cells.amount("unit_price"), cells.amount("total")
    currencies = {cells.currency(), *(amount.currency for amount in (price, total) if amount)} - {""}
    if len(currencies) > 1:
        raise InvalidField(f"{row.location} has more than one currency", field=f"{row.location}, currency")
    return OrderLine(
        number=number,
        location=row.location,
        quantity=cells.quantity(row.location),
        sku=sku,
        description=description,
        unit_price=price.value if price else None,
        total=total.value if total else None,
        currency=currencies.pop() if currencies else "",
        image_url=cells.text("image_url"),
    )


@attrs.frozen
class _Cells:
    """Cells by field; a missing or blank cell counts as empty."""

    cells: Mapping[str, Cell]
    mark: str | None
    limits: OrderLimits

    def text(self, field: str) -> str:
        cell = self.cells.get(field)
        if cell is None:
            return ""
        text = " ".join(cell.text.split())
        if len(text) <= self.limits.max_field_chars:  # quadratic in a run of combining marks
            text = unicodedata.normalize("NFC", text)
        if text:
            kind = TextKind.LINE if field in _PROSE_FIELDS else TextKind.IDENTIFIER
            check_text(text, cell.location, kind)
        if len(text) > self.limits.max_field_chars:
            raise InvalidField(
                f"{cell.location} may have at most {self.limits.max_field_chars} characters",
                field=cell.location,
            )
        return text

    def currency(self) -> str:
        text = self.text("currency")
        if not text:
            return ""
        if (currency := currency_of(text)) is None:
            location = self.cells["currency"].location
            raise InvalidField(f"{location} is not a known currency: {shown(text)}", field=location)
        return currency

    def amount(self, field: str) -> Amount | None:
        """Parse an amount, which must not be negative."""
        if not self.text(field):
            return None
        cell = self.cells[field]
        try:
            amount = self._read(cell)
            if amount.value < 0:
                raise AmountError(f"must not be negative, got {shown(cell.text)}")
            return amount
        except AmountError as error:
            raise InvalidField(f"{cell.location} {error}", field=cell.location) from error

    def quantity(self, location: str) -> int:
        cell = self.cells["quantity"]  # the readers refuse a row without one
        if not self.text("quantity"):
            raise InvalidField(f"{location} has no quantity", field=cell.location)
        try:
            amount = self._read(cell)
            if amount.currency:
                raise AmountError(f"is an amount of money: {shown(cell.text)}")
            return whole(amount.value)
        except AmountError as error:
            raise InvalidField(f"{cell.location} {error}", field=cell.location) from error

    def _read(self, cell: Cell) -> Amount:
        if not cell.is_number:
            return parse_amount(cell.text, self.mark)
        try:
            return Amount(bounded(Decimal(cell.text)))
        except InvalidOperation as error:  # an exponent beyond Decimal's range
            raise AmountError("is too large") from error
