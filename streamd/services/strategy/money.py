"""Sums of money, and how to divide them so that nothing is lost: all in hundredths, all whole numbers."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

# Up to here a JSON number still has exact hundredths in a double, whoever reads it.
AMOUNT_MAX: Final = 1_000_000_000_000


def to_cents(amount: float) -> int:
    """An amount in hundredths.

    Raises:
        ValueError: it is negative, has more than two decimals, or is more than ``AMOUNT_MAX``.
    """
    # By the shortest decimal that means this double: 0.1 is 10 hundredths, whatever its bits are.
    cents = Decimal(repr(amount)) * 100
    if amount < 0:
        raise ValueError("0 or more")
    if amount > AMOUNT_MAX:
        raise ValueError(f"at most {AMOUNT_MAX:,}")
    if cents != cents.to_integral_value():
        raise ValueError("a number with at most two decimals")
    return int(cents)


def from_cents(cents: int) -> float:
    """The amount as a JSON number; whole where it is whole."""
    return cents // 100 if cents % 100 == 0 else cents / 100


def format_money(cents: int, currency: str = "") -> str:
    """For people: ``12,500.50 EUR``."""
    whole, rest = divmod(cents, 100)
    text = f"{whole:,}.{rest:02d}" if rest else f"{whole:,}"
    return f"{text} {currency}" if currency else text


def divide(total: int, weights: Sequence[int]) -> list[int]:
    """Whole parts in proportion to the weights, whose sum is exactly ``total``.

    By the largest remainder: everybody gets the whole part of the share, and the units that are left go
    to those who lost most by rounding down, earlier ones first. Without any weight all count the same.

    Args:
        total: what is divided, 0 or more.
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
    """The parts in percent with one decimal, whose sum is exactly 100."""
    return [tenths / 10 for tenths in divide(1000, parts)]
