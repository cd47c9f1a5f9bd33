"""Decoding of order documents: bytes to text, and orders in JSON with exact numbers."""

from typing import Any, Final

import msgspec

from ...errors import InvalidBody, InvalidField, UnsupportedMediaType
from ...json import check_json
from ...steps import Steps
from .amounts import shown
from .columns import is_lines, line_field, order_field
from .order import Format, Order, OrderLimits
from .sheet import Cell, Row, Sheet, check_count, make_order
from .tabular import read_csv

_CHARSETS: Final = {
    "": "utf-8-sig",
    "utf-8": "utf-8-sig",
    "utf8": "utf-8-sig",
    "us-ascii": "ascii",
    "iso-8859-1": "latin-1",
    "windows-1252": "cp1252",
}
_RAW_OBJECT: Final = dict[str, msgspec.Raw]


def decode_text(document: bytes, charset: str = "", *, is_json: bool = False) -> str:
    """Decode a document to text; UTF-8 unless its content type names another charset.

    Args:
        document: the bytes.
        charset: as the content type names it; empty for none.
        is_json: True to leave all checks but that of the charset to :func:`read_json_order`.

    Raises:
        UnsupportedMediaType: the charset is not supported.
        InvalidBody: the document is empty, not valid in that charset, or contains NUL.
    """
    codec = _CHARSETS.get(charset.lower().strip("\"'"))
    if codec is None:
        raise UnsupportedMediaType(
            f"the charset {shown(charset)} is not supported; use utf-8", field="Content-Type"
        )
    if is_json and codec == "utf-8-sig":
        codec = "utf-8"  # JSON must not begin with a byte order mark
    try:
        text = document.decode(codec)
    except UnicodeDecodeError as error:
        if is_json and codec == "utf-8":
            _check_profile(document, "the body")  # names the value
        raise InvalidBody(
            f"the body is not valid {(charset or 'utf-8').upper()} (byte {error.start})", field="body"
        ) from error
    if is_json:
        return text
    if not text.strip():
        raise InvalidBody("the body is empty", field="body")
    if "\0" in text:
        raise InvalidBody("the body contains a NUL character", field="body")
    return text


def read_order(text: str, format: Format, limits: OrderLimits) -> Steps[Order]:
    """Read an order in CSV or JSON.

    Raises:
        InvalidBody, InvalidField, TooLarge: it cannot be read; ``field`` is the location.
    """
    sheet = read_csv(text, limits) if format is Format.CSV else read_json_order(text, limits)
    yield
    return make_order(sheet, limits)


def read_json_order(text: str | bytes, limits: OrderLimits, *, noun: str = "the body") -> Sheet:
    """Read a JSON order, ``{"currency": …, "lines": [{"sku": …, "quantity": …}]}``, or an array of lines.

    Names may be any synonyms accepted in CSV headers (``unitPrice``, ``unit_price``, ``Unit cost``).

    Args:
        text: the JSON.
        limits: of the order.
        noun: the name of the text in errors.

    Raises:
        InvalidBody, InvalidField: it is not JSON, or has another shape; ``field`` is the path.
        TooLarge: it has too many lines.
    """
    _check_profile(text, noun)
    fields: dict[str, Cell] = {}
    raw_lines: Any = None
    lines_name = "lines"
    document = _decode(text, msgspec.Raw, "")
    if bytes(document)[:1] == b"[":
        raw_lines = document
    else:
        for name, value in _decode(document, _RAW_OBJECT, "").items():
            if is_lines(name):
                if raw_lines is not None:
                    raise InvalidBody(f"{shown(lines_name)} and {shown(name)} mean the same", field=name[:80])
                raw_lines, lines_name = value, name[:80]
                continue
            field = order_field(name)
            if field is None:
                raise InvalidBody(f"the order has an unknown field {shown(name)}", field=name[:80])
            _put(fields, field, value, name[:80])
        if raw_lines is None:
            raise InvalidField("the order has no field 'lines'", field="lines")
    lines = _decode(raw_lines, list[msgspec.Raw], lines_name)
    check_count(len(lines), limits)
    return Sheet([_read_row(line, f"{lines_name}[{index}]") for index, line in enumerate(lines)], fields)


def read_answer(answer: str, limits: OrderLimits) -> Steps[Order]:
    """Read the order in the answer of a text generator, as strictly as a client's.

    Raises:
        InvalidBody, InvalidField, TooLarge: as :func:`read_json_order`.
    """
    sheet = read_json_order(cut_json(answer), limits, noun="the answer")
    yield
    return make_order(sheet, limits)


def cut_json(answer: str) -> str:
    """Cut the JSON object or array out of an answer, without code fences and surrounding words."""
    starts = [index for index in (answer.find("{"), answer.find("[")) if index >= 0]
    end = max(answer.rfind("}"), answer.rfind("]"))
    return answer[min(starts) : end + 1] if starts and end > min(starts) else answer


def _check_profile(text: str | bytes, noun: str) -> None:
    try:
        check_json(text, noun=noun)
    except InvalidBody as error:
        field = error.field or "body"
        of_line = "lines" if field.startswith("[") else ""  # of an array of lines alone
        raise InvalidBody(of_line + error.detail, field=of_line + field) from error


def _read_row(line: msgspec.Raw, location: str) -> Row:
    cells: dict[str, Cell] = {}
    for name, value in _decode(line, _RAW_OBJECT, location).items():
        path = f"{location}.{name[:80]}"
        field = line_field(name)
        if field is None:
            raise InvalidBody(f"{location} has an unknown field {shown(name)}", field=path)
        _put(cells, field, value, path)
    if "quantity" not in cells:
        raise InvalidField(f"{location} has no quantity", field=f"{location}.quantity")
    if "sku" not in cells and "description" not in cells:
        raise InvalidField(f"{location} needs a sku or a description", field=f"{location}.sku")
    return Row(location, cells)


def _put(cells: dict[str, Cell], field: str, value: msgspec.Raw, path: str) -> None:
    raw = bytes(value)
    if raw == b"null":
        return
    if field in cells:
        raise InvalidBody(f"{cells[field].location} and {path} mean the same", field=path)
    if raw[:1] == b'"':
        cells[field] = Cell(_decode(value, str, path), path)
    elif raw[:1] in b"-0123456789" and field not in ("image_url", "currency"):
        cells[field] = Cell(raw.decode("ascii"), path, is_number=True)
    else:
        raise InvalidBody(f"{path} must be text or a number", field=path)


def _decode(raw: Any, type: Any, path: str) -> Any:
    try:
        return msgspec.json.decode(raw, type=type)
    except msgspec.ValidationError as error:
        where = f"{path} " if path else "the order "
        what = "must be an object" if type == _RAW_OBJECT else "must be an array"
        raise InvalidBody(f"{where}{what}", field=path or "body") from error
