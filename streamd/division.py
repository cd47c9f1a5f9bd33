"""Division into whole parts that add up exactly: the largest remainder method."""

from collections.abc import Sequence


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


def percentages(weights: Sequence[int]) -> list[float]:
    """Convert weights to percentages with one decimal that add up to exactly 100."""
    return [tenths / 10 for tenths in divide(1000, weights)]
