"""A strategy's domain: profiles checked, figures read, budgets divided to the last cent, texts composed."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.config import StrategySettings
from streamd.errors import ConfigError, InvalidBody, InvalidField
from streamd.events.bodies import decode_json
from streamd.services.strategy.channels import CHANNELS, OTHER_CHANNEL
from streamd.services.strategy.compose import make_rules
from streamd.services.strategy.content import load_content
from streamd.services.strategy.goals import GOALS, OTHER_GOAL
from streamd.services.strategy.money import divide, format_money, from_cents, shares, to_cents
from streamd.services.strategy.plan import Plan, make_plan
from streamd.services.strategy.profile import Profile, ProfileBody, check_profile
from streamd.services.strategy.recognise import recognise
from streamd.services.strategy.sections import SECTIONS
from streamd.services.strategy.targets import Figures, Target, read_figures
from streamd.services.strategy.work import make_prompt

PROFILE: dict[str, Any] = {
    "business": "Handmade ceramic tableware, sold online and in a studio",
    "audience": "Young families in German cities",
    "goals": [
        "Win 400 orders within 6 months",
        "Raise brand awareness",
        "Keep 30 % of customers coming back",
    ],
    "channels": ["Instagram", "Google Ads", "Newsletter", "Craft fairs"],
    "budget": {"amount": 12500.5, "currency": "EUR"},
}


def read(**changes: Any) -> Profile:
    body: ProfileBody = decode_json(msgspec.json.encode({**PROFILE, **changes}), ProfileBody)
    return check_profile(body, StrategySettings())


def plan_of(**changes: Any) -> Plan:
    return make_plan(read(**changes))


# --- the profile --------------------------------------------------------------------------------


def test_profile_as_it_is_kept() -> None:
    profile = read(business="  Handmade \n ceramics ", budget={"amount": 0.1, "currency": "eur"})
    assert profile.business == "Handmade ceramics"
    assert (profile.budget_cents, profile.currency, profile.budget) == (10, "EUR", "0.10 EUR")
    assert Profile.from_json(msgspec.json.decode(msgspec.json.encode(profile.to_json()))) == profile


@pytest.mark.parametrize("budget", [0, 0.0, 99, 1234.56, 1_000_000_000_000, {"amount": 7}])
def test_budgets_that_are_taken(budget: Any) -> None:
    amount = budget["amount"] if isinstance(budget, dict) else budget
    assert read(budget=budget).budget_cents == round(amount * 100)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"business": 7}, "business"),
        ({"business": ""}, "business"),
        ({"business": " \n "}, "business"),
        ({"business": "x" * 2001}, "business"),
        ({"business": "a\u0000b"}, "business"),
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
def test_profiles_that_are_refused_name_the_field(changes: dict[str, Any], field: str) -> None:
    with pytest.raises((InvalidField, InvalidBody)) as caught:
        read(**changes)
    assert caught.value.field == field


@pytest.mark.parametrize("field", PROFILE)
def test_missing_fields_are_named(field: str) -> None:
    rest = {name: PROFILE[name] for name in PROFILE if name != field}
    with pytest.raises(InvalidBody) as caught:
        decode_json(msgspec.json.encode(rest), ProfileBody)
    assert caught.value.field == field


# --- money --------------------------------------------------------------------------------------


@given(st.integers(0, 10**14), st.lists(st.integers(0, 10**6), min_size=1, max_size=50))
def test_parts_add_up_and_none_is_off_by_a_whole_unit(total: int, weights: list[int]) -> None:
    parts = divide(total, weights)
    assert sum(parts) == total
    weight = sum(weights)
    for part, share in zip(parts, weights, strict=True):
        if weight:
            assert abs(part * weight - total * share) < weight


def test_parts_of_a_known_division() -> None:
    assert divide(100, [1, 1, 1]) == [34, 33, 33]
    assert divide(10, [0, 0]) == [5, 5]
    assert divide(7, [0, 2, 5]) == [0, 2, 5]
    assert shares([1, 1, 1]) == [33.4, 33.3, 33.3]


@given(st.integers(0, 10**14))
def test_amounts_come_back_as_they_were(cents: int) -> None:
    assert to_cents(from_cents(cents)) == cents


def test_money_for_people() -> None:
    assert format_money(1_250_050, "EUR") == "12,500.50 EUR"
    assert format_money(1_250_000) == "12,500"
    assert format_money(5) == "0.05"


# --- words --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("goal", "target", "weeks"),
    [
        ("Win 500 leads within 6 months", Target(500.0, False, False), 26),
        ("Sell 1,500 tickets in 8 weeks", Target(1500.0, False, False), 8),
        ("Raise conversion from 2.5% to 4 %", Target(4.0, True, True), None),
        ("Grow revenue by 20 percent next year", Target(20.0, True, False), None),
        ("Reach 10k followers by 2027", Target(10_000.0, False, False), None),
        ("Grow the list to 5000", Target(5000.0, False, True), None),
        ("1.5M views", Target(1_500_000.0, False, False), None),
        ("A 90-day sprint", None, 13),
        ("Within 2 years", None, 104),
        ("Within 30 years", None, 104),
        ("Within 2 days", None, 4),
        ("Q3 launch of version v2", None, None),
        ("Become better", None, None),
        ("Win 12345678901234567890 fans", None, None),
    ],
)
def test_figures_in_a_goal(goal: str, target: Target | None, weeks: int | None) -> None:
    assert read_figures(goal) == Figures(target, weeks)


@given(st.text())
def test_any_text_can_be_read_for_figures(text: str) -> None:
    read_figures(text)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Google Ads", "search advertising"),
        ("google", "search and content"),
        ("LinkedIn Ads", "paid social"),
        ("LinkedIn", "professional network"),
        ("X", "social media"),
        ("Xylophones", "other"),
        ("PR", "press"),
        ("Print", "print and outdoor"),
        ("E-Mail", "email"),
        ("Carrier pigeons", "other"),
    ],
)
def test_channels_are_recognised(name: str, kind: str) -> None:
    assert recognise(name, CHANNELS, OTHER_CHANNEL).key == kind


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Win more qualified leads", "leads"),
        ("More repeat customers", "retention"),
        ("Sell more tickets", "sales"),
        ("Hire five engineers", "hiring"),
        ("Brand recognition", "awareness"),
        ("Become better", "other"),
    ],
)
def test_goals_are_recognised(text: str, kind: str) -> None:
    assert recognise(text, GOALS, OTHER_GOAL).key == kind


# --- the plan -----------------------------------------------------------------------------------

NAMES = [*(word.title() for kind in CHANNELS for word in kind.words[:2]), "Pigeons", "Kites"]
WISHES = ["Win 500 leads", "Sell more", "Be known", "Keep 90% of members", "Hire 3", "Launch it", "Be better"]


@given(
    st.integers(0, 10**14),
    st.lists(st.sampled_from(NAMES), min_size=1, max_size=20, unique_by=str.casefold),
    st.lists(st.sampled_from(WISHES), min_size=1, max_size=7, unique=True),
)
def test_every_sum_is_the_budget(cents: int, channels: list[str], goals: list[str]) -> None:
    plan = make_plan(Profile("b", "a", tuple(goals), tuple(channels), cents, "EUR"))
    assert sum(one.cents for one in plan.channels) == cents
    assert sum(one.cents for one in plan.goals) == cents
    assert sum(one.cents for one in plan.phases) == cents
    assert sum(one.cents for one in plan.measures) == cents
    assert round(sum(one.share for one in plan.channels), 6) == 100
    for goal in plan.goals:
        measures = plan.measures_of(goal)
        assert measures
        assert sum(one.cents for one in measures) == goal.cents
        if goal.target and goal.target.count is not None:
            assert sum(one.expected or 0 for one in measures) == goal.target.count
    assert {one.channel.name for one in plan.measures} == set(channels)
    assert plan.phases[0].first_week == 1
    assert plan.phases[-1].last_week == plan.weeks
    for before, after in zip(plan.phases, plan.phases[1:], strict=False):
        assert after.first_week == before.last_week + 1


def test_plan_of_a_known_profile() -> None:
    plan = plan_of()
    assert plan.weeks == 26
    assert plan.weeks_given
    assert [goal.kind.key for goal in plan.goals] == ["sales", "awareness", "retention"]
    # The first goal counts most, and the channels that serve it share its 400 orders.
    assert plan.goals[0].cents == max(goal.cents for goal in plan.goals)
    orders = plan.measures_of(plan.goals[0])
    assert [one.channel.name for one in orders] == ["Google Ads", "Newsletter", "Craft fairs"]
    assert sum(one.expected or 0 for one in orders) == 400
    for one in orders:
        assert one.ceiling_cents == one.cents // (one.expected or 1)
    wanted = [(one.week, one.wanted) for one in plan.milestones if one.goal is plan.goals[0]][1:]
    assert wanted == [(13, "100 of 400"), (19, "240 of 400"), (26, "400 of 400")]


def test_result_adds_up_as_json() -> None:
    budget = plan_of().to_json()["budget"]
    for part in ("by_channel", "by_goal", "by_phase"):
        assert sum(to_cents(one["amount"]) for one in budget[part]) == to_cents(budget["amount"])


def test_without_money_the_shares_remain() -> None:
    plan = plan_of(budget=0)
    assert all(one.cents == 0 for one in plan.channels)
    assert [one.share for one in plan.channels] == [one.share for one in plan_of().channels]
    assert "working time" in compose(plan)["channels"]


# --- the texts ----------------------------------------------------------------------------------


def compose(plan: Plan) -> dict[str, str]:
    rules = make_rules()
    return {section.name: rules[section.purpose]({"plan": plan}) for section in SECTIONS}


def test_same_profile_gives_the_same_strategy_and_another_gives_another() -> None:
    assert compose(plan_of()) == compose(plan_of())
    other = compose(plan_of(audience="Retired engineers", channels=["Radio"], goals=["Sell 3 boats"]))
    for name, text in compose(plan_of()).items():
        assert other[name] != text


def test_texts_speak_of_this_profile() -> None:
    texts = compose(plan_of())
    assert "12,500.50 EUR" in texts["channels"]
    for channel in PROFILE["channels"]:
        assert channel in texts["channels"]
        assert channel in texts["roadmap"]
    for goal in PROFILE["goals"]:
        assert goal in texts["positioning"]
        assert goal in texts["measures"]
    assert "“Raise brand awareness” has no figure" in texts["analysis"]
    assert "families" in texts["audience"]


def test_tables_stay_tables_whatever_the_profile_holds() -> None:
    texts = compose(plan_of(channels=["Radio | TV", "Fairs"], goals=["a | b", "c"]))
    for text in texts.values():
        for line in text.splitlines():
            if line.startswith("|"):
                assert line.replace("\\|", "").count("|") in (4, 5)


@given(
    st.lists(
        st.text(min_size=1, max_size=30).filter(str.strip), min_size=1, max_size=4, unique_by=str.casefold
    ),
    st.text(min_size=1, max_size=50),
    st.integers(0, 10**14),
)
def test_any_words_can_be_composed(words: list[str], text: str, cents: int) -> None:
    plan = make_plan(Profile(text, text, tuple(words), tuple(words), cents, ""))
    assert all(compose(plan).values())


def test_model_is_told_the_figures_and_what_was_written_before() -> None:
    plan = plan_of()
    prompt = make_prompt(SECTIONS[3], plan, "x" * 10_000 + "the end")
    told = msgspec.json.decode(prompt.user)
    assert told["profile"] == plan.profile.to_json()
    assert told["plan"]["budget"] == plan.to_json()["budget"]
    assert told["written_before"].endswith("the end")
    assert len(told["written_before"]) <= 6000
    assert "Channels and budget" in prompt.system
    assert prompt.facts["plan"] is plan


# --- educational content ------------------------------------------------------------------------


def test_content_that_comes_with_streamd_has_something_between_any_two_steps() -> None:
    content = load_content()
    assert [name for name in content if content[name]] == [section.name for section in SECTIONS[:-1]]


GOOD = '[[content]]\nafter = "analysis"\ntitle = "T"\ntext = " Read. "\n'


def test_content_of_another_file(tmp_path: Path) -> None:
    file = tmp_path / "content.toml"
    file.write_text(GOOD * 2)
    piece = {"after": "analysis", "title": "T", "text": "Read."}
    assert load_content(str(file))["analysis"] == [piece, piece]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("content = [", "end of document"),
        ("contents = []", "contents"),
        (GOOD.replace("analysis", "measures"), "content[0].after must be one of analysis"),
        (GOOD + GOOD.replace('"T"', '" "'), "content[1].title must not be empty"),
        (GOOD.replace("Read.", "x" * 4001), "content[0].text may have at most 4000"),
        (GOOD.replace("title", "titel"), "titel"),
    ],
)
def test_content_that_cannot_be_used(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "content.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_content(str(file))
    assert complaint in caught.value.detail
    assert caught.value.field == "strategy.content_file"


def test_content_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_content(str(tmp_path / "none.toml"))
