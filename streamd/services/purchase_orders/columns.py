"""Synonyms of the columns of a CSV order and the members of a JSON order."""

import re
from collections.abc import Mapping
from typing import Final

LINE_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "quantity": (
        "quantity",
        "qty",
        "qnty",
        "quant",
        "units",
        "pcs",
        "pieces",
        "count",
        "order quantity",
        "qty ordered",
    ),
    "sku": (
        "sku",
        "item sku",
        "product sku",
        "item number",
        "item no",
        "item code",
        "item id",
        "article",
        "article number",
        "article no",
        "product code",
        "product id",
        "part number",
        "part no",
        "code",
        "variant sku",
        "style",
    ),
    "description": (
        "description",
        "desc",
        "item description",
        "product description",
        "product",
        "product name",
        "item",
        "item name",
        "name",
        "title",
        "product title",
    ),
    "unit_price": (
        "unit price",
        "price",
        "unit cost",
        "cost",
        "cost price",
        "price each",
        "each",
        "rate",
        "net price",
        "price per unit",
        "cost per unit",
        "unit price net",
        "wholesale price",
    ),
    "total": (
        "total",
        "line total",
        "amount",
        "line amount",
        "extended price",
        "ext price",
        "subtotal",
        "total price",
        "total cost",
        "sum",
        "net amount",
    ),
    "currency": ("currency", "ccy", "currency code", "cur"),
    "image_url": (
        "image url",
        "image",
        "picture",
        "photo",
        "image src",
        "picture url",
        "photo url",
        "image link",
    ),
}
"""The fields of a line item with their synonyms, in lower case with single spaces."""

ORDER_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "number": (
        "number",
        "order number",
        "po number",
        "po no",
        "purchase order",
        "purchase order number",
        "order no",
        "po",
        "order id",
        "reference",
        "order reference",
        "order",
    ),
    "supplier": ("supplier", "vendor", "supplier name", "vendor name", "from"),
    "currency": LINE_NAMES["currency"],
    "total": ("total", "order total", "grand total", "total amount", "total price", "amount"),
    "note": ("note", "notes", "comment", "comments", "remark", "remarks", "message"),
}
"""The fields of the order with their synonyms."""

LINES_NAMES: Final = ("lines", "line items", "items", "order lines", "products", "positions")
"""Synonyms of the member of a JSON order that holds its lines."""

_LINE: Final = {name: field for field, names in LINE_NAMES.items() for name in names}
_ORDER: Final = {name: field for field, names in ORDER_NAMES.items() for name in names}


def plain_name(name: str) -> str:
    """Normalize a name: ``unitPrice`` and ``Unit_Price:`` become ``unit price``."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return re.sub(r"[\W_]+", " ", re.sub(r"#", " no ", spaced)).strip().lower()


def line_field(name: str) -> str | None:
    """Return the field of a line item for a column name; None if the name is unknown."""
    return _LINE.get(plain_name(name))


def order_field(name: str) -> str | None:
    """Return the field of the order for a member name; None if the name is unknown."""
    return _ORDER.get(plain_name(name))


def is_lines(name: str) -> bool:
    """Return True if the member of that name holds the lines."""
    return plain_name(name) in LINES_NAMES
