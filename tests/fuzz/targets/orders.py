"""Documents of orders: plain text, CSV and JSON."""

from functools import partial
from typing import Final

from streamd.errors import RequestError
from streamd.services.purchase_orders.checking import check_document
from streamd.services.purchase_orders.confidence import confidence_of, ungrounded_lines
from streamd.services.purchase_orders.documents import read_answer, read_order
from streamd.services.purchase_orders.mail import compose_items, find_items
from streamd.services.purchase_orders.normalize import normalize_order
from streamd.services.purchase_orders.order import Format, OrderLimits
from streamd.steps import run_at_once
from tests.fuzz.target import Target, check_refusal

_LIMITS: Final = OrderLimits(max_lines=20, max_field_chars=100)
_CURRENCY: Final = "EUR"
_LINES: Final = (
    b"12 x Blue Mug (BM-1) @ 4.50 EUR",
    "Blue Mug x 12 at €4.50 each".encode(),
    "BM-1 Blue Mug - 12 pcs - 4,50 €".encode(),
    b"SKU: BM-1; Qty: 12; Price: 4.50",
)
_NUMBERS: Final = (b"1.234,56", b"1'234.50", b" x ", b" @ ", b"\xe2\x82\xac", b" = 54.00", b"9" * 30)


def _take_mail(data: bytes) -> None:
    """Read a mail by the rules: what they find is an order, or is refused with a sentence."""
    try:
        text = run_at_once(check_document(data, "", Format.TEXT, _LIMITS, _CURRENCY))
        items = run_at_once(find_items(text, _LIMITS.max_lines))
        order = run_at_once(read_answer(compose_items(items), _LIMITS))
    except RequestError as error:
        check_refusal(error)
        return
    ungrounded = run_at_once(ungrounded_lines(order, text))
    assert 0 <= confidence_of(order, ungrounded) <= 100


def _take_document(format: Format, data: bytes) -> None:
    """Read a table or JSON; one that is taken at its receipt can be read by the job."""
    try:
        text = run_at_once(check_document(data, "", format, _LIMITS, _CURRENCY))
    except RequestError as error:
        check_refusal(error)
        return
    order = run_at_once(read_order(text, format, _LIMITS))
    assert 1 <= len(order.lines) <= _LIMITS.max_lines
    assert all(line.quantity > 0 for line in order.lines)
    assert len(normalize_order(order, _CURRENCY).order.lines) == len(order.lines)


TARGETS: Final = {
    "mail": Target(
        _take_mail, (*_LINES, b"Hello,\nPO no. 88\n" + b"\n".join(_LINES) + b"\nBye"), _NUMBERS, 4096
    ),
    "csv": Target(
        partial(_take_document, Format.CSV),
        (
            b"sku,description,qty,unit price\nBM-1,Blue Mug,12,4.50\n,Chair,2,10\n",
            b'SKU;Menge;Preis\n"A;1";3;"1.234,50 EUR"\n',
        ),
        (*_NUMBERS, b'"', b'""', b";", b"\t", b"\r\n"),
        2048,
    ),
    "json": Target(
        partial(_take_document, Format.JSON),
        (
            b'{"currency":"EUR","lines":[{"sku":"A-1","quantity":2,"unitPrice":"4.50"}]}',
            b'[{"description":"Chair","qty":"1.000","total":1e2}]',
        ),
        (*_NUMBERS, b"null", b"\\u0000", b'"lines":', b"1e999", b"-0"),
        2048,
    ),
}
