"""Reading of CSV and JSON orders; each invalid cell is named by its location."""

import contextlib
import csv
import io
import time
import unicodedata
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.errors import InvalidBody, InvalidField, RequestError, TooLarge, UnsupportedMediaType
from streamd.services.purchase_orders import columns
from streamd.services.purchase_orders.documents import decode_text, read_order
from streamd.services.purchase_orders.order import Format, Order, OrderLimits, OrderLine
from streamd.steps import run_at_once

LIMITS = OrderLimits(max_lines=20, max_field_chars=100)


def read(text: str, format: Format = Format.CSV) -> Order:
    return run_at_once(read_order(text, format, LIMITS))


def refusal(text: str, format: Format = Format.CSV) -> RequestError:
    with pytest.raises(RequestError) as refused:
        read(text, format)
    return refused.value


def test_names_are_looked_up_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read("Unit_Price,sku,qty\n1,A,1\n").lines[0].unit_price == 1
    for text in (f"{'_' * 100}sku,qty\nA,1\n", f'{{"{"_" * 100}lines": []}}'):
        assert "unknown" in refusal(text, Format.JSON if text[0] == "{" else Format.CSV).detail
    looked_up: list[str] = []

    def plain_name(name: str) -> str:
        looked_up.append(name)
        return "unknown"

    monkeypatch.setattr(columns, "plain_name", plain_name)
    assert refusal("a;" * 100_000).field == "line 1"
    assert len(looked_up) < 10_000  # of the first 4 kB, to find the delimiter
    assert max(map(len, looked_up)) <= 100


# --- CSV ----------------------------------------------------------------------------------------


def test_a_complete_csv_order_is_read() -> None:
    order = read(
        "SKU,Description,Qty,Unit Price,Total,Currency,Image URL\r\n"
        'BM-1,"Mug, blue",12,4.50,54.00,EUR,https://x.example/a.png\r\n'
        "\r\n"
        '"X ""2""",Chair,2,"1,234.50",,EUR,\r\n'
    )
    assert order.lines == (
        OrderLine(
            number=1,
            location="line 2",
            quantity=12,
            sku="BM-1",
            description="Mug, blue",
            unit_price=Decimal("4.50"),
            total=Decimal("54.00"),
            currency="EUR",
            image_url="https://x.example/a.png",
        ),
        OrderLine(
            number=2,
            location="line 4",
            quantity=2,
            sku='X "2"',
            description="Chair",
            unit_price=Decimal("1234.50"),
            currency="EUR",
        ),
    )


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_detected(delimiter: str) -> None:
    order = read(f"Item No.{delimiter}Quantity{delimiter}Cost\nA{delimiter}3{delimiter}4.5\n")
    assert (order.lines[0].sku, order.lines[0].quantity) == ("A", 3)
    assert order.lines[0].unit_price == Decimal("4.5")


@pytest.mark.parametrize(
    ("header", "field"),
    [
        ("qty", "quantity"),
        ("QUANTITY", "quantity"),
        (" Order_Quantity ", "quantity"),
        ("Pcs", "quantity"),
    ],
)
def test_column_names_have_synonyms(header: str, field: str) -> None:
    assert getattr(read(f"sku,{header}\nA,7\n").lines[0], field) == 7


def test_item_is_the_sku_if_there_is_a_description() -> None:
    line = read("Item,Description,Qty\nA1,Mug,1\n").lines[0]
    assert (line.sku, line.description) == ("A1", "Mug")
    assert read("Item,Qty\nMug,1\n").lines[0].description == "Mug"


def test_decimal_commas_decide_ambiguous_cells() -> None:
    lines = read("sku;qty;price\nA;1.000;4,50\nB;2;1.234\n").lines
    assert [line.quantity for line in lines] == [1000, 2]
    assert lines[1].unit_price == 1234


def test_quoted_line_breaks_and_a_byte_order_mark_are_read() -> None:
    text = decode_text(b'\xef\xbb\xbfsku,name,qty\nA,"Blue\n Mug",2\nB,x,-1\n')
    refused = refusal(text)
    assert refused.field == "line 4, column qty"
    assert read(text.replace("-1", "1")).lines[0].description == "Blue Mug"


@pytest.mark.parametrize(
    ("text", "field", "says"),
    [
        ("A,1\nB,2\n", "line 1", "must be a header"),
        ("sku,qty,colour\nA,1,red\n", "line 1, column colour", "'colour' is unknown"),
        ("sku,,qty\nA,,1\n", "line 1, column ", "without a name"),
        ("sku,qty,quantity\nA,1,2\n", "line 1, column quantity", "mean the same"),
        ("sku,price\nA,1\n", "quantity", "no column for the quantity"),
        ("qty,price\n1,1\n", "sku", "no column for the sku"),
        ("sku,qty\nA,1\nB\n", "line 3", "line 3 has 1 columns, the header has 2"),
        ("sku,qty\nA,1,2,3\n", "line 2", "not quoted"),
        ("sku,qty\nA,1\nB,many\n", "line 3, column qty", "is not a number: 'many'"),
        ("sku,qty\nA,-2\n", "line 2, column qty", "greater than 0"),
        ("sku,qty\nA,0\n", "line 2, column qty", "greater than 0"),
        ("sku,qty\nA,1.5\n", "line 2, column qty", "whole number"),
        ("sku,qty\nA,1.000\n", "line 2, column qty", "is ambiguous, 1000 or 1.000"),
        ("sku,qty\nA,\n", "line 2, column qty", "no quantity"),
        ("sku,qty\nA,3 EUR\n", "line 2, column qty", "amount of money"),
        ("sku,qty\n,1\n", "line 2, sku", "needs a sku or a description"),
        ("sku,qty,price\nA,1,-4\n", "line 2, column price", "negative"),
        ("sku,qty,currency\nA,1,ABC\n", "line 2, column currency", "not a known currency"),
        ("sku,qty,price,currency\nA,1,€4,USD\n", "line 2, currency", "more than one currency"),
        ("sku,qty\nA\x07B,1\n", "line 2, column sku", "non-printable"),
        (f"sku,qty\n{'A' * 101},1\n", "line 2, column sku", "at most 100"),
        ('sku,qty\nA,1\n"B,2\n', "line 3", "not valid CSV"),
        ("sku,qty\n", "lines", "no lines"),
        ("sku,qty\n" + "A,1\n" * 21, "lines", "more than 20 lines"),
        ("sku,qty\n" + "A" * 200_000 + ",1\n", "line 2", "not valid CSV"),
        (",".join(["sku"] * 65) + "\n", "line 1", "more than 64 columns"),
    ],
)
def test_each_invalid_cell_is_named(text: str, field: str, says: str) -> None:
    refused = refusal(text)
    assert refused.field == field
    assert says in refused.detail


NAMES = st.text(
    st.characters(categories=["L", "N"], include_characters=" -_.,;\"'|/()&"), min_size=1, max_size=30
).map(lambda text: " ".join(text.split()))
MONEY = st.decimals(0, 10**6, places=2, allow_nan=False, allow_infinity=False)
ROWS = st.lists(
    st.tuples(NAMES.filter(bool), NAMES, st.integers(1, 10**6), MONEY), min_size=1, max_size=LIMITS.max_lines
)


@given(ROWS, st.sampled_from([",", ";", "\t", "|"]), st.sampled_from(["\n", "\r\n"]))
def test_csv_orders_round_trip(rows: list[tuple[str, str, int, Decimal]], delimiter: str, end: str) -> None:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator=end)
    writer.writerow(["SKU", "Description", "Quantity", "Unit price"])
    writer.writerows([[sku, name, quantity, f"{price:f}"] for sku, name, quantity, price in rows])
    lines = read(out.getvalue()).lines
    assert [(line.sku, line.quantity, line.unit_price) for line in lines] == [
        (unicode_form(sku), quantity, price) for sku, _, quantity, price in rows
    ]
    assert [line.description for line in lines] == [unicode_form(name) for _, name, _, _ in rows]


def unicode_form(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())


@given(st.text(max_size=200))
def test_any_csv_is_read_or_refused(text: str) -> None:
    for format in (Format.CSV, Format.JSON):
        with contextlib.suppress(RequestError):
            assert read(text, format).lines


# --- JSON ---------------------------------------------------------------------------------------


def read_json(document: Any) -> Order:
    return read(msgspec.json.encode(document).decode(), Format.JSON)


def test_a_complete_json_order_is_read() -> None:
    order = read_json(
        {
            "orderNumber": "PO-7",
            "supplier": "Acme",
            "currency": "eur",
            "total": "54,00",
            "note": "soon",
            "lineItems": [{"SKU": "BM-1", "qty": 12, "unitPrice": "4,50", "image_url": "http://x/a"}],
        }
    )
    assert (order.number, order.supplier, order.currency, order.note) == ("PO-7", "Acme", "EUR", "soon")
    assert order.total == 54
    [line] = order.lines
    assert (line.sku, line.quantity, line.unit_price) == ("BM-1", 12, Decimal("4.50"))
    assert (line.location, line.image_url) == ("lineItems[0]", "http://x/a")


def test_an_array_of_lines_is_accepted() -> None:
    assert [
        line.quantity for line in read_json([{"sku": "A", "qty": 1}, {"name": "B", "qty": "2"}]).lines
    ] == [
        1,
        2,
    ]


def test_json_numbers_are_exact() -> None:
    text = (
        '[{"sku": "A", "quantity": 1e1, "unitPrice": 0.1000}, {"sku": "B", "quantity": 3.0, "price": 1.234}]'
    )
    lines = read(text, Format.JSON).lines
    assert [line.quantity for line in lines] == [10, 3]
    assert [str(line.unit_price) for line in lines] == ["0.1000", "1.234"]


@pytest.mark.parametrize(
    ("text", "field", "says"),
    [
        ("{", "body", "not valid JSON"),
        ('{"lines": [1,}', "body", "not valid JSON"),
        ('"text"', "body", "must be an object"),
        ("[" * 100_000, "body", "the body is nested deeper than 64 levels"),
        ("\ufeff[]", "body", "the body begins with a byte order mark"),
        ("", "body", "the body is empty"),
        ('{"lines": [], "lines": []}', "lines", 'the body has two members named "lines"'),
        ('[{"sku": "A", "sku": "B"}]', "lines[0].sku", 'lines[0] has two members named "sku"'),
        ('[{"sku": "A", "qty": NaN}]', "lines[0].qty", "lines[0].qty must be a finite number"),
        ("{}", "lines", "no field 'lines'"),
        ('{"lines": []}', "lines", "no lines"),
        ('{"lines": {}}', "lines", "must be an array"),
        ('{"lines": [3]}', "lines[0]", "must be an object"),
        ('{"lines": [], "items": []}', "items", "mean the same"),
        ('{"lines": [], "colour": 1}', "colour", "unknown field 'colour'"),
        ('{"lines": [{"sku": "A", "qty": 1}], "currency": "XXX"}', "currency", "not a known currency"),
        ('[{"sku": "A", "qty": 1}, {"sku": "A"}]', "lines[1].quantity", "no quantity"),
        ('[{"qty": 1}]', "lines[0].sku", "needs a sku"),
        ('[{"sku": "", "qty": 1}]', "lines[0], sku", "needs a sku"),
        ('[{"sku": "A", "qty": 1, "colour": "red"}]', "lines[0].colour", "unknown field"),
        ('[{"sku": "A", "qty": 1, "quantity": 1}]', "lines[0].quantity", "mean the same"),
        ('[{"sku": "A", "qty": -1}]', "lines[0].qty", "greater than 0"),
        ('[{"sku": "A", "qty": 0e-999999999999}]', "lines[0].qty", "greater than 0, not 0"),
        ('[{"sku": "A", "qty": true}]', "lines[0].qty", "text or a number"),
        ('[{"sku": ["A"], "qty": 1}]', "lines[0].sku", "text or a number"),
        ('[{"sku": "A", "qty": 1e400}]', "lines[0].qty", "too large"),
        ('[{"sku": "A", "qty": 1e999999999999999999999}]', "lines[0].qty", "too large"),
        ('[{"sku": "A", "qty": 1, "price": -0.01}]', "lines[0].price", "negative"),
        ('[{"sku": "A", "qty": 1, "price": 0.1234567}]', "lines[0].price", "decimals"),
        ('[{"sku": "\\ud800", "qty": 1}]', "lines[0].sku", "half of a surrogate pair"),
        ('[{"sku": "A", "qty": 1, "price": "1.234"}]', "lines[0].price", "is ambiguous"),
        ("[" + ",".join(['{"sku": "A", "qty": 1}'] * 21) + "]", "lines", "more than 20"),
    ],
)
def test_each_invalid_value_is_named(text: str, field: str, says: str) -> None:
    refused = refusal(text, Format.JSON)
    assert says in refused.detail
    assert refused.field == field


@given(ROWS)
def test_json_orders_round_trip(rows: list[tuple[str, str, int, Decimal]]) -> None:
    encoder = msgspec.json.Encoder(decimal_format="number")
    document = [
        {"sku": sku, "description": name, "quantity": quantity, "unitPrice": price}
        for sku, name, quantity, price in rows
    ]
    lines = read(encoder.encode({"lines": document}).decode(), Format.JSON).lines
    assert [(line.sku, line.description, line.quantity, line.unit_price) for line in lines] == [
        (unicode_form(sku), unicode_form(name), quantity, price) for sku, name, quantity, price in rows
    ]


# --- bytes --------------------------------------------------------------------------------------


def test_supported_charsets() -> None:
    assert decode_text("é".encode("latin-1"), "ISO-8859-1") == "é"
    assert decode_text("é".encode()) == "é"
    with pytest.raises(UnsupportedMediaType):
        decode_text(b"a", "utf-7")
    with pytest.raises(InvalidBody, match=r"the body is not valid UTF-8 \(byte 1\)"):
        decode_text(b"a\xff")
    with pytest.raises(InvalidBody, match=r"supplier is not valid UTF-8 \(byte 13\)") as refused:
        decode_text(b'{"supplier":"\xff"}', is_json=True)
    assert refused.value.field == "supplier"


@pytest.mark.parametrize("document", [b"", b" \n ", b"\xef\xbb\xbf", b"a\0b"])
def test_empty_and_binary_bodies_are_refused(document: bytes) -> None:
    with pytest.raises(InvalidBody) as refused:
        decode_text(document)
    assert refused.value.field == "body"


def test_a_megabyte_of_combining_marks_is_refused_quickly() -> None:
    began = time.thread_time()  # NFC normalization would take minutes
    document = '[{"qty": 1, "sku": "A' + "\u0301\u0316" * 250_000 + '"}]'
    assert refusal(document, Format.JSON).field == "lines[0].sku"
    assert time.thread_time() - began < 2.0


def test_errors_have_the_status_of_their_cause() -> None:
    assert isinstance(refusal("sku,qty\nA,x\n"), InvalidField)
    assert isinstance(refusal("sku,qty\n" + "A,1\n" * 21), TooLarge)
