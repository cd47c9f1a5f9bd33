"""The validated profile that a strategy is written for."""

import msgspec

from .money import format_money, to_cents


class ProfileBudget(msgspec.Struct, frozen=True):
    """An amount of money."""

    amount: int | float  # see :mod:`.money`
    currency: str | None  # ISO 4217


class StrategyProfile(msgspec.Struct, frozen=True):
    """A valid profile. Its JSON is the task's input, and a part of its result."""

    business: str
    audience: str
    goals: tuple[str, ...]  # at least one, no two alike
    channels: tuple[str, ...]  # at least one, no two alike
    budget: ProfileBudget

    @property
    def budget_cents(self) -> int:
        return to_cents(self.budget.amount)

    def money(self, cents: int) -> str:
        """Format an amount in the currency of the budget, such as ``12,500.50 EUR``."""
        return format_money(cents, self.budget.currency or "")
