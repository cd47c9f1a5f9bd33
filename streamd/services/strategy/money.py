"""Amounts of money in whole hundredths, and their division without loss."""

from collections.abc import Sequence
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


def divide(total: int, weights: Sequence[int]) -> list[int]:
    """Divide a total into whole parts in proportion to weights; the parts add up to exactly ``total``.

    Uses the largest remainder method: each part is rounded down, and the remaining units go to the parts
    that lost most, earlier ones first. If all weights are 0, the parts are equal.

    Args:
        total: the amount to divide, 0 or more.
        weights: whole numbers, 0 or more; at least one of them.
    """
    if not any(weights):
        weights = [1] * len(weights)
    whole = sum(weights)
    parts = [total * weight // whole for weight in weights]
    by_loss = sorted(range(len(weights)), key=lambda i: -(total * weights[i] % whole))
    for i in by_loss[: total - sum(parts)]:
        parts[i] += 1
    return parts


def shares(parts: Sequence[int]) -> list[float]:
    """Convert parts to percentages with one decimal that add up to exactly 100."""
    return [tenths / 10 for tenths in divide(1000, parts)]
