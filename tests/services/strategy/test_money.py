"""Amounts of money, and their division without loss."""

from hypothesis import given
from hypothesis import strategies as st

from streamd.services.strategy.money import divide, format_money, from_cents, shares, to_cents


@given(st.integers(0, 10**14), st.lists(st.integers(0, 10**6), min_size=1, max_size=50))
def test_parts_add_up_and_each_is_within_one_unit_of_its_share(total: int, weights: list[int]) -> None:
    parts = divide(total, weights)
    assert sum(parts) == total
    weight = sum(weights)
    for part, share in zip(parts, weights, strict=True):
        if weight:
            assert abs(part * weight - total * share) < weight


def test_largest_remainders_get_the_remaining_units() -> None:
    assert divide(100, [1, 1, 1]) == [34, 33, 33]
    assert divide(10, [0, 0]) == [5, 5]
    assert divide(7, [0, 2, 5]) == [0, 2, 5]
    assert shares([1, 1, 1]) == [33.4, 33.3, 33.3]


@given(st.integers(0, 10**14))
def test_amounts_survive_json_numbers(cents: int) -> None:
    assert to_cents(from_cents(cents)) == cents


def test_money_is_formatted_with_separators_and_currency() -> None:
    assert format_money(1_250_050, "EUR") == "12,500.50 EUR"
    assert format_money(1_250_000) == "12,500"
    assert format_money(5) == "0.05"
