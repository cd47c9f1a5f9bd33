"""The validation of a requested profile, and its JSON form."""

from typing import Any

import msgspec
import pytest

from streamd.errors import InvalidBody, InvalidField
from streamd.json import decode_json
from streamd.services.strategy.models import ProfileBody
from streamd.services.strategy.profile import StrategyProfile
from tests.support.strategy_rig import PROFILE, read_profile


def test_profile_is_normalized_and_survives_json() -> None:
    profile = read_profile(business="  Handmade \n ceramics ", budget={"amount": 0.1, "currency": "eur"})
    assert profile.business == "Handmade ceramics"
    assert (profile.budget_cents, profile.budget.currency, profile.money(10)) == (10, "EUR", "0.10 EUR")
    assert msgspec.json.decode(msgspec.json.encode(profile), type=StrategyProfile) == profile


@pytest.mark.parametrize("budget", [0, 0.0, 99, 1234.56, 1_000_000_000_000, {"amount": 7}])
def test_valid_budgets(budget: Any) -> None:
    amount = budget["amount"] if isinstance(budget, dict) else budget
    assert read_profile(budget=budget).budget_cents == round(amount * 100)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"business": 7}, "business"),
        ({"business": ""}, "business"),
        ({"business": " \n "}, "business"),
        ({"business": "x" * 2001}, "business"),
        ({"business": "a\u0000b"}, "business"),
        ({"goals": ["a", "\u001b[1m"]}, "goals[1]"),
        ({"audience": None}, "audience"),
        ({"audience": ""}, "audience"),
        ({"goals": "more"}, "goals"),
        ({"goals": []}, "goals"),
        ({"goals": ["a", 7]}, "goals[1]"),
        ({"goals": ["a", " "]}, "goals[1]"),
        ({"goals": ["a", "x" * 2001]}, "goals[1]"),
        ({"goals": [str(number) for number in range(21)]}, "goals"),
        ({"goals": ["More sales", "b", "more  Sales"]}, "goals[2]"),
        ({"channels": {}}, "channels"),
        ({"channels": []}, "channels"),
        ({"channels": ["a"] * 21}, "channels"),
        ({"channels": [""]}, "channels[0]"),
        ({"budget": "100"}, "budget"),
        ({"budget": True}, "budget"),
        ({"budget": None}, "budget"),
        ({"budget": -1}, "budget"),
        ({"budget": -0.01}, "budget"),
        ({"budget": 0.001}, "budget"),
        ({"budget": 1e13}, "budget"),
        ({"budget": 10**30}, "budget"),
        ({"budget": {}}, "budget.amount"),
        ({"budget": {"amount": "7"}}, "budget.amount"),
        ({"budget": {"amount": -7, "currency": "EUR"}}, "budget.amount"),
        ({"budget": {"amount": 7, "currency": "EURO"}}, "budget.currency"),
        ({"budget": {"amount": 7, "currency": "€€€"}}, "budget.currency"),
        ({"budget": {"amount": 7, "currency": 7}}, "budget.currency"),
    ],
)
def test_invalid_profile_names_the_field(changes: dict[str, Any], field: str) -> None:
    with pytest.raises((InvalidField, InvalidBody)) as caught:
        read_profile(**changes)
    assert caught.value.field == field


@pytest.mark.parametrize("field", PROFILE)
def test_missing_field_is_named(field: str) -> None:
    rest = {name: PROFILE[name] for name in PROFILE if name != field}
    with pytest.raises(InvalidBody) as caught:
        decode_json(msgspec.json.encode(rest), ProfileBody)
    assert caught.value.field == field
