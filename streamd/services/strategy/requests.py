"""Validation of the profile in a request for a strategy."""

from typing import Final

from ...characters import TextKind, check_text, quoted
from ...errors import InvalidField
from .models import BudgetBody, ProfileBody
from .money import from_cents, to_cents
from .profile import ProfileBudget, StrategyProfile

# A profile is read by a person, and every one of its texts goes into prompts: these are generous.
_MAX_FIELD_CHARS: Final = 2000
_MAX_ITEMS: Final = 20  # goals, or channels
_CURRENCY_LETTERS: Final = 3  # ISO 4217


def check_profile(body: ProfileBody) -> StrategyProfile:
    """Validate a requested profile, and collapse the white space in its texts.

    Raises:
        InvalidField: a text is empty, too long or repeated, a list too long, or the budget not an amount
            of money. Its ``field`` names the field.
    """
    budget = body.budget
    if isinstance(budget, BudgetBody):
        cents = _read_amount(budget.amount, "budget.amount")
        currency = _read_currency(budget.currency)
    else:
        cents, currency = _read_amount(budget, "budget"), ""
    return StrategyProfile(
        _read_text(body.business, "business"),
        _read_text(body.audience, "audience"),
        _read_list(body.goals, "goals"),
        _read_list(body.channels, "channels"),
        ProfileBudget(from_cents(cents), currency or None),
    )


def _read_text(text: str, field: str) -> str:
    if len(text) > _MAX_FIELD_CHARS:
        raise InvalidField(
            f"{field} may have at most {_MAX_FIELD_CHARS} characters, got {len(text)}", field=field
        )
    text = " ".join(text.split())
    if not text:
        raise InvalidField(f"{field} must not be empty", field=field)
    return check_text(text, field, TextKind.LINE)


def _read_list(texts: list[str], field: str) -> tuple[str, ...]:
    if not texts:
        raise InvalidField(f"{field} must name at least one", field=field)
    if len(texts) > _MAX_ITEMS:
        raise InvalidField(f"{field} may name at most {_MAX_ITEMS}, got {len(texts)}", field=field)
    checked: dict[str, str] = {}
    for index, text in enumerate(texts):
        name = f"{field}[{index}]"
        clean = _read_text(text, name)
        if clean.casefold() in checked:
            raise InvalidField(f"{name} repeats {quoted(clean)}", field=name)
        checked[clean.casefold()] = clean
    return tuple(checked.values())


def _read_amount(amount: float, field: str) -> int:
    try:
        return to_cents(amount)
    except ValueError as error:
        raise InvalidField(f"{field} must be {error}, got {quoted(amount)}", field=field) from None


def _read_currency(text: str) -> str:
    code = text.strip().upper()
    if code and not (len(code) == _CURRENCY_LETTERS and code.isascii() and code.isalpha()):
        raise InvalidField(
            f"budget.currency must be a code of three letters, such as EUR; got {quoted(text)}",
            field="budget.currency",
        )
    return code
