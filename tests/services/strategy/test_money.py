"""Amounts of money."""

from hypothesis import given
from hypothesis import strategies as st

from streamd.services.strategy.money import format_money, from_cents, to_cents


@given(st.integers(0, 10**14))
def test_amounts_survive_json_numbers(cents: int) -> None:
    assert to_cents(from_cents(cents)) == cents


def test_money_is_formatted_with_separators_and_currency() -> None:
    assert format_money(1_250_050, "EUR") == "12,500.50 EUR"
    assert format_money(1_250_000) == "12,500"
    assert format_money(5) == "0.05"
