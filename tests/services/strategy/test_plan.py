"""The plan of a strategy: the budget divided to the last cent, and the composed texts."""

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from streamd.services.strategy.catalogue import CHANNELS, SECTIONS
from streamd.services.strategy.compose import make_rules
from streamd.services.strategy.job import make_prompt
from streamd.services.strategy.money import from_cents, to_cents
from streamd.services.strategy.plan import StrategyPlan, make_plan
from streamd.services.strategy.profile import ProfileBudget, StrategyProfile
from streamd.steps import run_at_once
from tests.support.strategy_rig import PROFILE, read_profile


def plan_of(**changes: Any) -> StrategyPlan:
    return run_at_once(make_plan(read_profile(**changes)))


def compose(plan: StrategyPlan) -> dict[str, str]:
    rules = make_rules()
    return {section.name: rules[section.purpose]({"plan": plan}) for section in SECTIONS}


NAMES = [*(word.title() for kind in CHANNELS.entries for word in kind.words[:2]), "Pigeons", "Kites"]
WISHES = ["Win 500 leads", "Sell more", "Be known", "Keep 90% of members", "Hire 3", "Launch it", "Be better"]


@given(
    st.integers(0, 10**14),
    st.lists(st.sampled_from(NAMES), min_size=1, max_size=20, unique_by=str.casefold),
    st.lists(st.sampled_from(WISHES), min_size=1, max_size=7, unique=True),
)
def test_every_sum_is_the_budget(cents: int, channels: list[str], goals: list[str]) -> None:
    budget = ProfileBudget(from_cents(cents), "EUR")
    plan = run_at_once(make_plan(StrategyProfile("b", "a", tuple(goals), tuple(channels), budget)))
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
    assert [goal.kind.name for goal in plan.goals] == ["sales", "awareness", "retention"]
    # The first goal counts most, and the channels that serve it share its 400 orders.
    assert plan.goals[0].cents == max(goal.cents for goal in plan.goals)
    orders = plan.measures_of(plan.goals[0])
    assert [one.channel.name for one in orders] == ["Google Ads", "Newsletter", "Craft fairs"]
    assert sum(one.expected or 0 for one in orders) == 400
    for one in orders:
        assert one.ceiling_cents == one.cents // (one.expected or 1)
    wanted = [(one.week, one.wanted) for one in plan.milestones if one.goal is plan.goals[0]][1:]
    assert wanted == [(13, "100 of 400"), (19, "240 of 400"), (26, "400 of 400")]


def test_amounts_in_json_add_up() -> None:
    budget = plan_of().to_json()["budget"]
    for part in ("by_channel", "by_goal", "by_phase"):
        assert sum(to_cents(one["amount"]) for one in budget[part]) == to_cents(budget["amount"])


def test_shares_do_not_depend_on_the_budget() -> None:
    plan = plan_of(budget=0)
    assert all(one.cents == 0 for one in plan.channels)
    assert [one.share for one in plan.channels] == [one.share for one in plan_of().channels]
    assert "working time" in compose(plan)["channels"]


def test_same_profile_gives_the_same_strategy_and_another_gives_another() -> None:
    assert compose(plan_of()) == compose(plan_of())
    other = compose(plan_of(audience="Retired engineers", channels=["Radio"], goals=["Sell 3 boats"]))
    for name, text in compose(plan_of()).items():
        assert other[name] != text


def test_texts_contain_the_values_of_the_profile() -> None:
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


def test_bars_in_the_profile_do_not_break_tables() -> None:
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
def test_any_profile_can_be_composed(words: list[str], text: str, cents: int) -> None:
    budget = ProfileBudget(from_cents(cents), None)
    plan = run_at_once(make_plan(StrategyProfile(text, text, tuple(words), tuple(words), budget)))
    assert all(compose(plan).values())


def test_prompt_contains_the_figures_and_the_preceding_text() -> None:
    plan = plan_of()
    prompt = make_prompt(SECTIONS[3], plan, "x" * 10_000 + "the end")
    told = msgspec.json.decode(prompt.user)
    assert told["profile"] == msgspec.json.decode(msgspec.json.encode(plan.profile))
    assert told["plan"]["budget"] == plan.to_json()["budget"]
    assert told["written_before"].endswith("the end")
    assert len(told["written_before"]) <= 6000
    assert "Channels and budget" in prompt.system
    assert prompt.facts["plan"] is plan


def test_each_step_of_a_plan_reads_one_text() -> None:
    goals, channels = [f"goal {number}" for number in range(9)], [f"channel {number}" for number in range(7)]
    assert sum(1 for _ in make_plan(read_profile(goals=goals, channels=channels))) == 16
