"""Normalization of orders: SKUs, one currency, exact totals."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.errors import InvalidField
from streamd.services.purchase_orders.normalize import normalize_order, normalize_sku
from streamd.services.purchase_orders.order import Order, OrderLine


def order(*lines: dict[str, Any], **fields: Any) -> Order:
    return Order(
        lines=tuple(
            OrderLine(**{"number": number, "location": f"line {number}", "quantity": 1, "sku": "A", **line})
            for number, line in enumerate(lines, 1)
        ),
        **fields,
    )


def test_skus_are_normalized() -> None:
    assert normalize_sku("  bm  1 ") == "BM-1"
    assert normalize_sku("ＢＭ-1") == "BM-1"


def test_totals_are_computed() -> None:
    made = normalize_order(
        order(
            {"quantity": 3, "unit_price": Decimal("0.335")},
            {"quantity": 2, "unit_price": Decimal(10)},
            {"quantity": 4},
        ),
        "EUR",
    )
    assert [line.total for line in made.order.lines] == [Decimal("1.01"), Decimal("20.00"), None]
    assert [str(line.unit_price) for line in made.order.lines] == ["0.335", "10.00", "None"]
    assert str(made.order.total) == "21.01"
    assert made.warnings == ()


def test_an_exact_price_is_derived_from_the_total() -> None:
    exact, not_exact = normalize_order(
        order({"quantity": 12, "total": Decimal(54)}, {"quantity": 3, "total": Decimal(10)}), "EUR"
    ).order.lines
    assert (str(exact.unit_price), str(exact.total)) == ("4.50", "54.00")
    assert (not_exact.unit_price, str(not_exact.total)) == (None, "10.00")


def test_wrong_totals_are_replaced_with_a_warning() -> None:
    made = normalize_order(
        order({"quantity": 2, "unit_price": Decimal(5), "total": Decimal(11)}, total=Decimal(12)), "EUR"
    )
    assert made.order.lines[0].total == Decimal("10.00")
    assert made.order.total == Decimal("10.00")
    assert [warning.field for warning in made.warnings] == ["line 1, total", "total"]


def test_a_rounding_difference_is_no_warning() -> None:
    lines = {"quantity": 3, "unit_price": Decimal("3.33"), "total": Decimal("10.00")}
    assert normalize_order(order(lines), "EUR").warnings == ()


@pytest.mark.parametrize(
    ("named", "of_lines", "default", "chosen"),
    [
        ("", [], "USD", "USD"),
        ("EUR", [], "USD", "EUR"),
        ("", ["EUR", ""], "USD", "EUR"),
        ("EUR", ["EUR"], "USD", "EUR"),
        ("", ["$"], "EUR", "USD"),
        ("", ["$"], "CAD", "CAD"),
        ("AUD", ["$"], "EUR", "AUD"),
        ("$", ["CAD"], "EUR", "CAD"),
    ],
)
def test_the_currency_is_chosen_from_all_amounts(
    named: str, of_lines: list[str], default: str, chosen: str
) -> None:
    lines = [{"currency": currency} for currency in of_lines] or [{}]
    made = normalize_order(order(*lines, currency=named), default).order
    assert made.currency == chosen
    assert {line.currency for line in made.lines} == {chosen}


@pytest.mark.parametrize(
    ("named", "of_lines", "field"),
    [
        ("EUR", ["USD"], "line 1, currency"),
        ("", ["EUR", "USD"], "line 2, currency"),
        ("EUR", ["$"], "line 1, currency"),
        ("", ["EUR", "$"], "line 2, currency"),
    ],
)
def test_two_currencies_are_refused(named: str, of_lines: list[str], field: str) -> None:
    with pytest.raises(InvalidField) as refused:
        normalize_order(order(*({"currency": currency} for currency in of_lines), currency=named), "USD")
    assert refused.value.field == field


PRICES = st.none() | st.decimals(0, 10**6, places=4, allow_nan=False, allow_infinity=False)


@given(
    st.lists(st.tuples(st.integers(1, 10**6), PRICES, PRICES), min_size=1, max_size=10),
    st.sampled_from(["EUR", "JPY", "KWD"]),
)
def test_normalizing_is_idempotent(rows: list[tuple[Any, ...]], currency: str) -> None:
    lines = [{"quantity": quantity, "unit_price": price, "total": total} for quantity, price, total in rows]
    once = normalize_order(order(*lines), currency).order
    again = normalize_order(once, currency)
    assert again.order == once
    assert all(warning.message.startswith("the total gives no exact") for warning in again.warnings)
    assert once.total == sum(line.total for line in once.lines if line.total is not None)
