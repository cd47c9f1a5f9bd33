"""The check of an order document at its receipt: what is plainly invalid is refused before it is stored."""

from typing import Final

from ...characters import TextKind, check_text
from ...errors import TooLarge
from ...steps import Steps
from .documents import decode_text, read_order
from .normalize import normalize_order
from .order import Format, OrderLimits

_TEXT_LINES_PER_ITEM: Final = 4  # lines of a plain text per line item: greetings and blank lines included


def check_document(
    document: bytes, charset: str, format: Format, limits: OrderLimits, currency: str
) -> Steps[str]:
    """Decode and check a document in steps, and return its text.

    Args:
        document: the bytes.
        charset: as the content type names it; empty for none.
        format: the media type.
        limits: of the order.
        currency: that of orders that name none.

    Raises:
        UnsupportedMediaType: the charset is not supported.
        InvalidBody, InvalidField, TooLarge: the reason; ``field`` is the location.
    """
    text = decode_text(document, charset, is_json=format is Format.JSON)
    yield
    if format is Format.TEXT:
        yield from _check_lines(text, _TEXT_LINES_PER_ITEM * limits.max_lines)
        return text
    order = yield from read_order(text, format, limits)
    yield
    normalize_order(order, currency)
    return text


def _check_lines(text: str, max_lines: int) -> Steps[None]:
    if text.count("\n") <= max_lines:
        lines = text.splitlines()  # also at the other separators of Unicode
        if len(lines) <= max_lines:
            for number, line in enumerate(lines, 1):
                if words := " ".join(line.split()):  # as the line will be read
                    check_text(words, f"line {number}", TextKind.LINE)
                yield
            return
    raise TooLarge(f"the text may have at most {max_lines} lines", field="body")
