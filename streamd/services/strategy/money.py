"""Amounts of money in whole hundredths."""

from decimal import Decimal
from typing import Final

# Up to this amount a double represents hundredths exactly, so every JSON reader gets the same amount.
AMOUNT_MAX: Final = 1_000_000_000_000


def to_cents(amount: float) -> int:
    """Convert an amount to hundredths.

    Raises:
        ValueError: it is negative, has more than two decimals, or is more than ``AMOUNT_MAX``.
    """
    # repr() gives the shortest decimal of a double: 0.1 is 10 hundredths, although its bits are not.
    cents = Decimal(repr(amount)) * 100
    if amount < 0:
        raise ValueError("0 or more")
    if amount > AMOUNT_MAX:
        raise ValueError(f"at most {AMOUNT_MAX:,}")
    if cents != cents.to_integral_value():
        raise ValueError("a number with at most two decimals")
    return int(cents)


def from_cents(cents: int) -> float:
    """Convert hundredths to a JSON number: an integer if the amount is whole."""
    return cents // 100 if cents % 100 == 0 else cents / 100


def format_money(cents: int, currency: str = "") -> str:
    """Format an amount as ``12,500.50 EUR``."""
    whole, rest = divmod(cents, 100)
    text = f"{whole:,}.{rest:02d}" if rest else f"{whole:,}"
    return f"{text} {currency}" if currency else text
