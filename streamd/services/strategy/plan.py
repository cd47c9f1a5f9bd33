"""The plan of a strategy: recognised goals and channels, and the budget divided over them and over time.

All of it is arithmetic on the profile. Every sum adds up to the budget: over channels, over goals, over
phases. Nothing is random.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, Final

import attrs

from ...division import divide, percentages
from ...steps import Steps
from .catalogue import AUDIENCES, CHANNELS, GOALS, AudienceKind, ChannelKind, GoalKind
from .money import from_cents
from .profile import StrategyProfile
from .targets import WEEKS_DEFAULT, Target, read_figures

# Goals come in the order of their importance: each counts a fifth less than the one before.
_GOAL_DECAY: Final = 0.8
_GOAL_WEIGHT: Final = 10_000  # of the first goal; whole numbers keep the arithmetic exact
# A channel is given a goal when it serves it well; spread over more, the money would show nothing anywhere.
_FIT_GOOD: Final = 3
# Effort is divided as money would be, so that shares exist without a budget. Any large total will do.
_EFFORT_TOTAL: Final = 1_000_000
# Below this share of the budget a channel gets too little to be judged.
_SHARE_SMALL_PERCENT: Final = 5.0

PHASES: Final = (
    # name, part of the time in twelfths, part of the budget in twelfths
    ("Prepare", 2, 1),
    ("Test", 4, 4),
    ("Grow", 6, 7),
)


@attrs.frozen
class Goal:
    """A goal of the profile, and its part of the budget."""

    text: str
    kind: GoalKind
    target: Target | None  # the amount that its words state
    cents: int
    share: float  # percent of the budget, or of the effort without a budget


@attrs.frozen
class Channel:
    """A channel of the profile, and its part of the budget."""

    name: str
    kind: ChannelKind
    cents: int
    share: float  # percent of the budget, or of the effort without a budget


@attrs.frozen
class Measure:
    """The contribution that is expected of one channel to one goal."""

    channel: Channel
    goal: Goal
    cents: int
    expected: int | None  # its part of the goal's target
    ceiling_cents: int | None  # the maximum cost of one result


@attrs.frozen
class Phase:
    """A number of consecutive weeks with a budget."""

    name: str
    first_week: int
    last_week: int
    cents: int

    @property
    def weeks(self) -> str:
        """The weeks in words."""
        first, last = self.first_week, self.last_week
        return f"week {first}" if first == last else f"weeks {first} to {last}"


@attrs.frozen
class Milestone:
    """The state that a goal should have reached at the end of a week."""

    week: int
    goal: Goal
    percent: int  # of the way to the goal
    wanted: str


@attrs.frozen
class StrategyPlan:
    """A profile with all that can be worked out from it."""

    profile: StrategyProfile
    audiences: tuple[AudienceKind, ...]  # at least one
    weeks: int
    weeks_given: bool  # the goals state the time themselves
    goals: tuple[Goal, ...]
    channels: tuple[Channel, ...]
    measures: tuple[Measure, ...]  # by goal, the largest first
    phases: tuple[Phase, ...]
    milestones: tuple[Milestone, ...]

    def measures_of(self, goal: Goal) -> list[Measure]:
        """Return the measures of a goal, the largest share first."""
        return [measure for measure in self.measures if measure.goal is goal]

    def goals_served_by(self, channel: Channel) -> list[Goal]:
        """Return the goals to which a channel contributes, the most important first."""
        return [measure.goal for measure in self.measures if measure.channel is channel]

    def best_channels(self, goal: str) -> list[str]:
        """Return the names of the two channels that serve a kind of goal best."""
        ranked = sorted(self.channels, key=lambda channel: -channel.kind.fit.get(goal, 0))
        return [channel.name for channel in ranked[:2]]

    @property
    def slow_channels(self) -> list[Channel]:
        """The channels that cannot be judged before half of the time is over."""
        return [channel for channel in self.channels if channel.kind.lead_weeks * 2 > self.weeks]

    @property
    def small_channels(self) -> list[Channel]:
        """The channels whose share is too small for a judgement."""
        return [channel for channel in self.channels if channel.share < _SHARE_SMALL_PERCENT]

    def to_json(self) -> dict[str, Any]:
        """Return the plan's fields of the result, as JSON values."""
        return {
            "weeks": self.weeks,
            "budget": {
                "amount": self.profile.budget.amount,
                "currency": self.profile.budget.currency,
                "by_channel": [
                    {
                        "channel": one.name,
                        "kind": one.kind.name,
                        "amount": from_cents(one.cents),
                        "share": one.share,
                    }
                    for one in self.channels
                ],
                "by_goal": [{"goal": one.text, "amount": from_cents(one.cents)} for one in self.goals],
                "by_phase": [{"phase": one.name, "amount": from_cents(one.cents)} for one in self.phases],
            },
            "phases": [
                {"name": one.name, "first_week": one.first_week, "last_week": one.last_week}
                for one in self.phases
            ],
            "milestones": [
                {"week": one.week, "goal": one.goal.text, "percent": one.percent, "wanted": one.wanted}
                for one in self.milestones
            ],
            "measures": [
                {
                    "goal": one.goal.text,
                    "channel": one.channel.name,
                    "counted": one.goal.kind.counted,
                    "figure": one.channel.kind.figure,
                    "amount": from_cents(one.cents),
                    "expected": one.expected,
                    "cost_ceiling": None if one.ceiling_cents is None else from_cents(one.ceiling_cents),
                }
                for one in self.measures
            ],
        }


def make_plan(profile: StrategyProfile) -> Steps[StrategyPlan]:
    """Make the plan for a profile, in steps; the same profile always gives the same plan."""
    figures, goal_kinds, channel_kinds = [], [], []
    for text in profile.goals:
        figures.append(read_figures(text))
        goal_kinds.append(GOALS.recognise(text))
        yield
    for name in profile.channels:
        channel_kinds.append(CHANNELS.recognise(name))
        yield
    given = [one.weeks for one in figures if one.weeks is not None]
    weeks = max(given, default=WEEKS_DEFAULT)
    cells = _divide_budget(profile.budget_cents, goal_kinds, channel_kinds)
    effort = _divide_budget(_EFFORT_TOTAL, goal_kinds, channel_kinds)
    goal_shares = percentages([sum(row) for row in (cells if profile.budget_cents else effort)])
    goals = tuple(
        Goal(text, kind, figure.target, sum(row), share)
        for text, kind, figure, row, share in zip(
            profile.goals, goal_kinds, figures, cells, goal_shares, strict=True
        )
    )
    channels = tuple(
        Channel(name, kind, sum(column), share)
        for name, kind, column, share in zip(
            profile.channels,
            channel_kinds,
            zip(*cells, strict=True),
            percentages([sum(column) for column in zip(*effort, strict=True)]),
            strict=True,
        )
    )
    phases = _make_phases(weeks, profile.budget_cents)
    return StrategyPlan(
        profile=profile,
        audiences=AUDIENCES.recognise_all(profile.audience),
        weeks=weeks,
        weeks_given=bool(given),
        goals=goals,
        channels=channels,
        measures=tuple(
            measure
            for goal, row, weights in zip(goals, cells, effort, strict=True)
            for measure in _make_measures(goal, channels, row, weights)
        ),
        phases=phases,
        milestones=tuple(_make_milestones(goals, phases)),
    )


def _divide_budget(cents: int, goals: Sequence[GoalKind], channels: Sequence[ChannelKind]) -> list[list[int]]:
    """Divide an amount by goal and channel; the sum over all is exactly ``cents``."""
    good = [[channel.fit_for(goal) >= _FIT_GOOD for channel in channels] for goal in goals]
    for row, goal in zip(good, goals, strict=True):
        if not any(row):  # no channel serves it well: take the best one
            row[_index_of_max([channel.fit_for(goal) for channel in channels])] = True
    for column, channel in enumerate(channels):
        if not any(row[column] for row in good):
            good[_index_of_max([channel.fit_for(goal) for goal in goals])][column] = True
    weights = [
        # Squared, so that a good channel is clearly preferred to one that is merely possible.
        channel.fit_for(goal) ** 2 * round(_GOAL_WEIGHT * _GOAL_DECAY**rank) if is_good else 0
        for rank, (goal, row) in enumerate(zip(goals, good, strict=True))
        for channel, is_good in zip(channels, row, strict=True)
    ]
    parts = divide(cents, weights)
    width = len(channels)
    return [parts[start : start + width] for start in range(0, len(parts), width)]


def _index_of_max(figures: Sequence[int]) -> int:
    return figures.index(max(figures))


def _make_measures(
    goal: Goal, channels: Sequence[Channel], row: Sequence[int], weights: Sequence[int]
) -> list[Measure]:
    """Build the measures of a goal, the largest first."""
    serving = [one for one in zip(weights, row, channels, strict=True) if one[0]]
    serving.sort(key=lambda one: -one[0])
    count = goal.target.count if goal.target else None
    expected: Sequence[int | None] = (
        [None] * len(serving) if count is None else divide(count, [weight for weight, _, _ in serving])
    )
    return [
        Measure(channel, goal, cents, number, cents // number if number and cents else None)
        for number, (_, cents, channel) in zip(expected, serving, strict=True)
    ]


def _make_phases(weeks: int, cents: int) -> tuple[Phase, ...]:
    lengths = divide(weeks, [length for _, length, _ in PHASES])
    parts = divide(cents, [part for _, _, part in PHASES])
    return tuple(
        Phase(name, last_week - length + 1, last_week, part)
        for (name, _, _), length, last_week, part in zip(
            PHASES, lengths, accumulate(lengths), parts, strict=True
        )
    )


def _make_milestones(goals: Sequence[Goal], phases: Sequence[Phase]) -> list[Milestone]:
    prepare, test, grow = phases
    half_grown = (test.last_week + grow.last_week) // 2
    weeks = [(prepare.last_week, 0), (test.last_week, 25), (half_grown, 60), (grow.last_week, 100)]
    return [
        Milestone(week, goal, percent, _describe_state(goal, percent))
        for week, percent in weeks
        for goal in goals
    ]


def _describe_state(goal: Goal, percent: int) -> str:
    target = goal.target
    if percent == 0:
        return f"the starting figure is known: {goal.kind.counted}"
    if target is None:
        return f"{percent} % of the {goal.kind.results} agreed on at the start"
    if target.count is not None:
        return f"{-(-target.count * percent // 100):,} of {target}"
    if target.is_level:
        return f"{percent} % of the way from the starting figure to {target}"
    return (
        f"{target.value * percent / 100:g} of {target}" if target.is_percent else f"{percent} % of {target}"
    )
