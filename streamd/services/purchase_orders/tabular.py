"""Reading of orders in CSV (RFC 4180, with any common delimiter) into cells with their locations."""

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Final

from ...errors import InvalidBody, InvalidField
from .amounts import shown
from .columns import line_field, plain_name
from .order import OrderLimits
from .sheet import Cell, Row, Sheet, check_count

DELIMITERS: Final = (",", ";", "\t", "|")
_MAX_COLUMNS: Final = 64  # far above the number of fields
_SKU_OR_DESCRIPTION: Final = frozenset({"item", "product", "style", "article"})
"""Columns that hold the SKU if another column holds the description."""


def read_csv(text: str, limits: OrderLimits) -> Sheet:
    """Read a CSV order: a header line, then one line item per row; blank rows are skipped.

    Raises:
        InvalidBody, InvalidField: the table is not valid; ``field`` is the location: ``line 3, column Qty``.
        TooLarge: it has too many lines.
    """
    delimiter = sniff_delimiter(text)
    records = _records(text, delimiter)
    header_line, header = next(records, (1, []))
    fields = _read_header(header, f"line {header_line}", delimiter)
    names = _names(header)
    rows: list[Row] = []
    for number, record in records:
        check_count(len(rows) + 1, limits)
        location = f"line {number}"
        if len(record) != len(header):
            raise InvalidBody(
                f"{location} has {len(record)} columns, the header has {len(header)}"
                + (" (is a value with a delimiter in it not quoted?)" if len(record) > len(header) else ""),
                field=location,
            )
        cells = {
            field: Cell(value, f"{location}, column {name}")
            for field, name, value in zip(fields, names, record, strict=True)
        }
        rows.append(Row(location, cells))
    if not rows:
        raise InvalidBody("the CSV has a header and no lines below it", field="lines")
    return Sheet(rows)


def sniff_delimiter(text: str) -> str:
    """Choose the delimiter that gives the most known columns in the first record; a comma if none does."""
    first = text.lstrip("\r\n")[:4096]

    def known(delimiter: str) -> tuple[int, int]:
        record = next(csv.reader(io.StringIO(first, newline=""), delimiter=delimiter), [])
        return sum(line_field(name) is not None for name in record), len(record)

    return max(DELIMITERS, key=known)


def _records(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield each record that is not blank, with its first line number."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    while True:
        number = reader.line_num + 1
        try:
            record = next(reader, None)
        except csv.Error as error:
            raise InvalidBody(f"line {number} is not valid CSV: {error}", field=f"line {number}") from error
        if record is None:
            return
        if any(value.strip() for value in record):
            yield number, record


def _names(header: Sequence[str]) -> list[str]:
    return [" ".join(name.split())[:80] for name in header]


def _read_header(header: Sequence[str], location: str, delimiter: str) -> list[str]:
    """Return the field of each column."""
    if not any(line_field(name) for name in header[:_MAX_COLUMNS]):
        raise InvalidBody(
            f"{location} must be a header with columns such as sku, description, quantity and unit price;"
            f" got {shown(delimiter.join(header))}",
            field=location,
        )
    if len(header) > _MAX_COLUMNS:
        raise InvalidBody(f"{location} has more than {_MAX_COLUMNS} columns", field=location)
    names = _names(header)
    fields = [_field(name, location) for name in names]
    for index, name in enumerate(names):
        is_either = fields[index] == "description" and plain_name(name) in _SKU_OR_DESCRIPTION
        if is_either and "sku" not in fields and fields.count("description") > 1:
            fields[index] = "sku"
    for index, field in enumerate(fields):
        if field in fields[:index]:
            other = names[fields.index(field)]
            raise InvalidBody(
                f"{location}: the columns {shown(other)} and {shown(names[index])} mean the same",
                field=f"{location}, column {names[index]}",
            )
    if "quantity" not in fields:
        raise InvalidField(f"{location} names no column for the quantity", field="quantity")
    if "sku" not in fields and "description" not in fields:
        raise InvalidField(f"{location} names no column for the sku or the description", field="sku")
    return fields


def _field(name: str, location: str) -> str:
    if (field := line_field(name)) is None:
        raise InvalidBody(
            f"{location}: the column {shown(name)} is unknown"
            if name
            else f"{location} has a column without a name",
            field=f"{location}, column {name}",
        )
    return field
