"""Cells with their places, as the readers of CSV, JSON and text find them, made into an order."""

import unicodedata
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Final

import attrs

from ...errors import InvalidBody, InvalidField, TooLarge
from .amounts import Amount, AmountError, bounded, currency_of, decimal_mark, parse_amount, shown, whole
from .model import Limits, Line, Order

_AMOUNT_FIELDS: Final = ("quantity", "unit_price", "total")


@attrs.frozen
class Cell:
    """One value as it was written."""

    text: str
    place: str  # what a refusal calls it: ``line 3, column Qty`` or ``lines[2].quantity``
    is_number: bool = False  # a JSON number, whose decimal mark is known


@attrs.frozen
class Row:
    """The cells of one line item, by field."""

    place: str
    cells: Mapping[str, Cell]


@attrs.frozen
class Sheet:
    """What a document holds, before it is understood."""

    rows: Sequence[Row]
    fields: Mapping[str, Cell] = attrs.field(factory=dict)  # of the whole order
    unread: int = 0  # see :class:`Order`


def make_order(sheet: Sheet, limits: Limits) -> Order:
    """Read every cell.

    Raises:
        InvalidField: a value is wrong or missing; ``field`` is its place.
        TooLarge: more than ``limits.max_lines``.
    """
    check_count(len(sheet.rows), limits)
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
        unread=sheet.unread,
    )


def check_count(lines: int, limits: Limits) -> None:
    """Refuse an order that has too many lines.

    Raises:
        TooLarge: it has.
    """
    if lines > limits.max_lines:
        raise TooLarge(f"the order has more than {limits.max_lines} lines", field="lines")


def _make_line(number: int, row: Row, mark: str | None, limits: Limits) -> Line:
    cells = _Cells(row.cells, mark, limits)
    sku, description = cells.text("sku"), cells.text("description")
    if not sku and not description:
        raise InvalidField(
            f"{row.place} needs a sku or a description", field=f"{row.place}, sku" if row.place else "sku"
        )
    price, total = cells.amount("unit_price"), cells.amount("total")
    currencies = {cells.currency(), *(amount.currency for amount in (price, total) if amount)} - {""}
    if len(currencies) > 1:
        raise InvalidField(f"{row.place} has more than one currency", field=f"{row.place}, currency")
    return Line(
        number=number,
        place=row.place,
        quantity=cells.quantity(row.place),
        sku=sku,
        description=description,
        unit_price=price.value if price else None,
        total=total.value if total else None,
        currency=currencies.pop() if currencies else "",
        image_url=cells.text("image_url"),
    )


@attrs.frozen
class _Cells:
    """Cells by field; one that is missing or blank counts as empty."""

    cells: Mapping[str, Cell]
    mark: str | None
    limits: Limits

    def text(self, field: str) -> str:
        cell = self.cells.get(field)
        if cell is None:
            return ""
        text = " ".join(cell.text.split())
        if len(text) <= self.limits.max_field_chars:  # it takes the square of a run of combining marks
            text = unicodedata.normalize("NFC", text)
        if not text.isprintable():
            raise InvalidField(f"{cell.place} has characters that cannot be printed", field=cell.place)
        if len(text) > self.limits.max_field_chars:
            raise InvalidField(
                f"{cell.place} is longer than {self.limits.max_field_chars} characters", field=cell.place
            )
        return text

    def currency(self) -> str:
        text = self.text("currency")
        if not text:
            return ""
        if (currency := currency_of(text)) is None:
            place = self.cells["currency"].place
            raise InvalidField(f"{place} is no currency that is known: {shown(text)}", field=place)
        return currency

    def amount(self, field: str) -> Amount | None:
        """An amount that is not below zero."""
        if not self.text(field):
            return None
        cell = self.cells[field]
        try:
            amount = self._read(cell)
        except AmountError as error:
            raise InvalidField(f"{cell.place} {error}", field=cell.place) from error
        if amount.value < 0:
            raise InvalidField(f"{cell.place} must not be negative, got {shown(cell.text)}", field=cell.place)
        return amount

    def quantity(self, place: str) -> int:
        if not self.text("quantity"):
            where = self.cells["quantity"].place if "quantity" in self.cells else f"{place}, quantity"
            raise InvalidField(f"{place} has no quantity", field=where)
        cell = self.cells["quantity"]
        try:
            amount = self._read(cell)
            if amount.currency:
                raise AmountError(f"is an amount of money: {shown(cell.text)}")
            return whole(amount.value)
        except AmountError as error:
            raise InvalidField(f"{cell.place} {error}", field=cell.place) from error

    def _read(self, cell: Cell) -> Amount:
        if not cell.is_number:
            return parse_amount(cell.text, self.mark)
        try:
            return Amount(bounded(Decimal(cell.text)))
        except InvalidOperation as error:  # an exponent that no number has
            raise AmountError("is too large") from error
