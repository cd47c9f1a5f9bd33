"""The profile that a strategy is written for, as it is asked for and as it is checked."""

import unicodedata
from typing import Annotated, Any, Final

import attrs
import msgspec

from ...config import StrategySettings
from ...errors import InvalidField
from .money import format_money, from_cents, to_cents

_CURRENCY_LETTERS: Final = 3  # ISO 4217


class BudgetBody(msgspec.Struct):
    """A sum of money."""

    amount: Annotated[float, msgspec.Meta(description="0 or more, with at most two decimals.")]
    currency: Annotated[str, msgspec.Meta(description="ISO 4217, such as EUR.")] = ""


class ProfileBody(msgspec.Struct):
    """What a strategy is wanted for."""

    business: Annotated[str, msgspec.Meta(description="What the business is and offers.")]
    audience: Annotated[str, msgspec.Meta(description="Whom it wants to reach.")]
    goals: Annotated[list[str], msgspec.Meta(description="What is to be reached; the most important first.")]
    channels: Annotated[list[str], msgspec.Meta(description="Where the audience can be met.")]
    budget: Annotated[
        float | BudgetBody, msgspec.Meta(description="For the whole time; a number, or with its currency.")
    ]


@attrs.frozen
class Profile:
    """A profile that has been checked."""

    business: str
    audience: str
    goals: tuple[str, ...]  # at least one, no two alike
    channels: tuple[str, ...]  # at least one, no two alike
    budget_cents: int  # hundredths of the currency
    currency: str  # ISO 4217, or empty: not said

    @property
    def budget(self) -> str:
        """For people."""
        return format_money(self.budget_cents, self.currency)

    def to_json(self) -> dict[str, Any]:
        """As JSON fields; a task's input, and part of its result."""
        return {
            "business": self.business,
            "audience": self.audience,
            "goals": list(self.goals),
            "channels": list(self.channels),
            "budget": {"amount": from_cents(self.budget_cents), "currency": self.currency or None},
        }

    @classmethod
    def from_json(cls, fields: Any) -> "Profile":
        """From what :meth:`to_json` made."""
        budget = fields["budget"]
        return cls(
            fields["business"],
            fields["audience"],
            tuple(fields["goals"]),
            tuple(fields["channels"]),
            to_cents(budget["amount"]),
            budget["currency"] or "",
        )


def check_profile(body: ProfileBody, settings: StrategySettings) -> Profile:
    """The profile, its texts without superfluous white space.

    Raises:
        InvalidField: a field is empty, too long, too many, repeated or no sum of money; ``field`` names it.
    """
    chars = settings.max_field_chars
    budget = body.budget
    if isinstance(budget, BudgetBody):
        cents = _read_amount(budget.amount, "budget.amount")
        currency = _read_currency(budget.currency)
    else:
        cents, currency = _read_amount(budget, "budget"), ""
    return Profile(
        _read_text(body.business, "business", chars),
        _read_text(body.audience, "audience", chars),
        _read_list(body.goals, "goals", settings.max_goals, chars),
        _read_list(body.channels, "channels", settings.max_channels, chars),
        cents,
        currency,
    )


def _read_text(text: str, field: str, max_chars: int) -> str:
    if len(text) > max_chars:
        raise InvalidField(f"{field} may have at most {max_chars} characters, got {len(text)}", field=field)
    text = " ".join(text.split())
    if not text:
        raise InvalidField(f"{field} must not be empty", field=field)
    if any(unicodedata.category(char) == "Cc" for char in text):
        raise InvalidField(f"{field} holds control characters", field=field)
    return text


def _read_list(texts: list[str], field: str, max_items: int, max_chars: int) -> tuple[str, ...]:
    if not texts:
        raise InvalidField(f"{field} must name at least one", field=field)
    if len(texts) > max_items:
        raise InvalidField(f"{field} may name at most {max_items}, got {len(texts)}", field=field)
    checked: dict[str, str] = {}
    for index, text in enumerate(texts):
        name = f"{field}[{index}]"
        clean = _read_text(text, name, max_chars)
        if clean.casefold() in checked:
            raise InvalidField(f"{name} repeats {clean!r}", field=name)
        checked[clean.casefold()] = clean
    return tuple(checked.values())


def _read_amount(amount: float, field: str) -> int:
    try:
        return to_cents(amount)
    except ValueError as error:
        raise InvalidField(f"{field} must be {error}, got {amount!r}", field=field) from None


def _read_currency(text: str) -> str:
    code = text.strip().upper()
    if code and not (len(code) == _CURRENCY_LETTERS and code.isascii() and code.isalpha()):
        raise InvalidField(
            f"budget.currency must be a code of three letters, such as EUR; got {text[:20]!r}",
            field="budget.currency",
        )
    return code
