"""Division into whole parts, and percentages: the largest remainder method."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.division import divide, percentages


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


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ([1], [100.0]),
        ([1, 1, 1], [33.4, 33.3, 33.3]),  # equal remainders: the first
        ([2, 1], [66.7, 33.3]),
        ([0, 5], [0.0, 100.0]),
        ([1, 1, 1, 1, 1, 1], [16.7, 16.7, 16.7, 16.7, 16.6, 16.6]),
        ([1, 1999], [0.1, 99.9]),  # equal remainders of 0.05: the first
    ],
)
def test_percentages_use_the_largest_remainder(weights: list[int], expected: list[float]) -> None:
    assert percentages(weights) == expected


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=51).filter(any))
def test_percentages_sum_to_100_within_a_tenth_of_the_exact_value(weights: list[int]) -> None:
    shares = percentages(weights)
    assert sum(Decimal(str(share)) for share in shares) == 100  # as they are displayed
    tenths = [round(share * 10) for share in shares]
    for weight, share in zip(weights, tenths, strict=True):
        assert abs(share - 1000 * weight / sum(weights)) < 1
    by_weight = [share for _, share in sorted(zip(weights, tenths, strict=True))]
    assert by_weight == sorted(by_weight)  # a smaller weight never has a larger share
