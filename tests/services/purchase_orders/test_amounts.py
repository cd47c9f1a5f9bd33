"""Parsing of amounts: every accepted spelling is exact, and ambiguous ones are refused."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.services.purchase_orders.amounts import (
    ANY_DOLLAR,
    MAX_AMOUNT,
    AmountError,
    bounded,
    currency_of,
    decimal_mark,
    decimal_text,
    parse_amount,
    to_minor,
    whole,
)


@pytest.mark.parametrize(
    ("text", "value", "currency"),
    [
        ("4.50", "4.50", ""),
        ("4,50", "4.50", ""),
        ("12", "12", ""),
        ("1.234,50", "1234.50", ""),
        ("1,234.50", "1234.50", ""),
        ("1'234.50", "1234.50", ""),
        ("1’234.50", "1234.50", ""),
        ("1 234,50", "1234.50", ""),
        ("1\u202f234,50", "1234.50", ""),
        ("1,234,567", "1234567", ""),
        ("1.234.567,8", "1234567.8", ""),
        ("0.125", "0.125", ""),
        ("1234.567", "1234.567", ""),
        ("$4.50", "4.50", ANY_DOLLAR),
        ("US$ 4.50", "4.50", "USD"),
        ("4,50 €", "4.50", "EUR"),
        ("EUR 1.234,50", "1234.50", "EUR"),
        ("1.234,50 eur", "1234.50", "EUR"),
        ("-3", "-3", ""),
        ("$-3.5", "-3.5", ANY_DOLLAR),
        ("\u22123.5", "-3.5", ""),
        ("¥ 500", "500", "JPY"),
    ],
)
def test_accepted_spellings_of_amounts(text: str, value: str, currency: str) -> None:
    amount = parse_amount(text)
    assert str(amount.value) == value
    assert amount.currency == currency


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "abc", "1.2.3", "1,23,456", "1.2345,6,7", "1,234,56", "4.50 XXX", "EUR 4 USD", "1e5"),
        *("NaN", "0x10", "--3", "4..5", ".5", "5.", "٣", "1.1234567", "1" * 41, "9999999999999"),
    ],
)
def test_invalid_amounts_are_refused(text: str) -> None:
    with pytest.raises(AmountError):
        parse_amount(text)


def test_an_ambiguous_separator_is_refused() -> None:
    with pytest.raises(AmountError, match=r"1234 or 1\.234"):
        parse_amount("1.234")
    assert parse_amount("1.234", ".").value == Decimal("1.234")
    assert parse_amount("1.234", ",").value == 1234
    assert parse_amount("1,234", ".").value == 1234


def test_other_amounts_decide_the_decimal_mark() -> None:
    assert decimal_mark(["1.234", "4,50"]) == ","
    assert decimal_mark(["1,234", "4.5"]) == "."
    assert decimal_mark(["1.234.567"]) == ","
    assert decimal_mark(["1.234", "12", "x"]) is None
    assert decimal_mark(["4,50", "4.50"]) is None


AMOUNTS = st.decimals(0, MAX_AMOUNT - 1, places=2, allow_nan=False, allow_infinity=False)


@given(AMOUNTS, st.sampled_from([(",", "."), (".", ","), ("'", "."), (" ", ",")]))
def test_grouped_amounts_round_trip(value: Decimal, marks: tuple[str, str]) -> None:
    group, mark = marks
    text = f"{value:,.2f}".replace(",", "G").replace(".", mark).replace("G", group)
    assert parse_amount(text).value == value
    assert parse_amount(f"{text} EUR").value == value


@given(st.decimals(0, 10**6, places=4, allow_nan=False, allow_infinity=False))
def test_plain_amounts_round_trip(value: Decimal) -> None:
    assert parse_amount(f"{value:f}", ".").value == value


@given(st.text(max_size=50))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        value = parse_amount(text).value
    except AmountError:
        return
    assert value.is_finite()
    assert abs(value) <= MAX_AMOUNT


def test_limits_of_amounts() -> None:
    assert bounded(Decimal("1.123456"))
    assert bounded(Decimal("1.50000000")), "zeros at the end are no decimals"
    for value in (
        "1.1234567",
        "1." + "0" * 30 + "1",
        "1e-999999999999",
        "1000000000000." + "0" * 30 + "1",
        "1e13",
        "1e400",
        "NaN",
        "Infinity",
    ):
        with pytest.raises(AmountError):
            bounded(Decimal(value))


def test_a_zero_with_any_exponent_is_formatted_short() -> None:
    for value in ("0", "-0", "0e9999999", "0e-9999999", "0e-999999999999"):
        assert decimal_text(bounded(Decimal(value))) == "0"


def test_quantities_are_positive_integers() -> None:
    assert whole(Decimal("12.00")) == 12
    for value in ("0", "-1", "2.5", "1e10"):
        with pytest.raises(AmountError):
            whole(Decimal(value))


def test_codes_and_symbols_of_currencies() -> None:
    assert currency_of("eur") == "EUR"
    assert currency_of(" € ") == "EUR"
    assert currency_of("ABC") is None


def test_totals_are_rounded_half_up_to_the_minor_unit() -> None:
    assert str(to_minor(Decimal("2.345"), "EUR")) == "2.35"
    assert str(to_minor(Decimal("2.5"), "JPY")) == "3"
    assert str(to_minor(Decimal("2.3455"), "KWD")) == "2.346"
