"""Orders as CSV (RFC 4180, with any of the usual delimiters), read whole into cells with their places."""

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Final

from ...errors import InvalidBody, InvalidField
from .amounts import shown
from .columns import line_field, plain_name
from .model import Limits
from .sheet import Cell, Row, Sheet, check_count

DELIMITERS: Final = (",", ";", "\t", "|")
_MAX_COLUMNS: Final = 64  # far more than there are fields
_EITHER: Final = frozenset({"item", "product", "style", "article"})
"""Columns that hold the SKU when another one holds the description."""


def read_csv(text: str, limits: Limits) -> Sheet:
    """Read an order: a header line, then one line item a row; blank rows are passed over.

    Raises:
        InvalidBody, InvalidField: it is no such table; ``field`` is the place: ``line 3, column Qty``.
        TooLarge: it has too many lines.
    """
    delimiter = sniff_delimiter(text)
    records = _records(text, delimiter)
    header_line, header = next(records, (1, []))
    fields = _read_header(header, f"line {header_line}", delimiter)
    rows: list[Row] = []
    for number, record in records:
        check_count(len(rows) + 1, limits)
        place = f"line {number}"
        if len(record) != len(header):
            raise InvalidBody(
                f"{place} has {len(record)} columns, the header has {len(header)}"
                + (" (is a value with a delimiter in it not quoted?)" if len(record) > len(header) else ""),
                field=place,
            )
        rows.append(
            Row(
                place,
                {
                    field: Cell(value, f"{place}, column {name}")
                    for field, name, value in zip(fields, _names(header), record, strict=True)
                },
            )
        )
    if not rows:
        raise InvalidBody("the CSV has a header and no lines below it", field="lines")
    return Sheet(rows)


def sniff_delimiter(text: str) -> str:
    """The delimiter under which the first record holds most known columns; a comma when none does."""
    first = text.lstrip("\r\n")[:4096]

    def known(delimiter: str) -> tuple[int, int]:
        record = next(csv.reader(io.StringIO(first, newline=""), delimiter=delimiter), [])
        return sum(line_field(name) is not None for name in record), len(record)

    return max(DELIMITERS, key=known)


def _records(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Each record that is not blank, with the number of the line it begins on."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    while True:
        number = reader.line_num + 1
        try:
            record = next(reader, None)
        except csv.Error as error:
            raise InvalidBody(f"line {number} is no CSV: {error}", field=f"line {number}") from error
        if record is None:
            return
        if any(value.strip() for value in record):
            yield number, record


def _names(header: Sequence[str]) -> list[str]:
    return [" ".join(name.split())[:80] for name in header]


def _read_header(header: Sequence[str], place: str, delimiter: str) -> list[str]:
    """The field of each column."""
    if not any(line_field(name) for name in header):
        raise InvalidBody(
            f"{place} must be a header that names columns such as sku, description, quantity and unit price;"
            f" got {shown(delimiter.join(header))}",
            field=place,
        )
    if len(header) > _MAX_COLUMNS:
        raise InvalidBody(f"{place} has more than {_MAX_COLUMNS} columns", field=place)
    names = _names(header)
    fields = [_field(name, place) for name in names]
    for index, name in enumerate(names):
        is_either = fields[index] == "description" and plain_name(name) in _EITHER
        if is_either and "sku" not in fields and fields.count("description") > 1:
            fields[index] = "sku"
    for index, field in enumerate(fields):
        if field in fields[:index]:
            other = names[fields.index(field)]
            raise InvalidBody(
                f"{place}: the columns {shown(other)} and {shown(names[index])} mean the same",
                field=f"{place}, column {names[index]}",
            )
    if "quantity" not in fields:
        raise InvalidField(f"{place} names no column for the quantity", field="quantity")
    if "sku" not in fields and "description" not in fields:
        raise InvalidField(f"{place} names no column for the sku or the description", field="sku")
    return fields


def _field(name: str, place: str) -> str:
    if (field := line_field(name)) is None:
        raise InvalidBody(
            f"{place}: the column {shown(name)} is not known"
            if name
            else f"{place} has a column without name",
            field=f"{place}, column {name}",
        )
    return field
