"""The part of a strategy that is arithmetic: who is who in the profile, and where the budget goes, and when.

Every sum adds up to the budget: over channels, over goals, over phases. Nothing is random.
"""

from collections.abc import Sequence
from typing import Any, Final

import attrs

from .audiences import ANYBODY, TRAITS, Trait
from .channels import CHANNELS, OTHER_CHANNEL, ChannelKind
from .goals import GOALS, OTHER_GOAL, GoalKind
from .money import divide, from_cents, shares
from .profile import Profile
from .recognise import recognise, recognise_in_order
from .targets import WEEKS_DEFAULT, Target, read_figures

# Goals come in the order of their importance: each counts a fifth less than the one before.
_GOAL_DECAY: Final = 0.8
_GOAL_WEIGHT: Final = 10_000  # of the first goal; whole numbers keep the arithmetic exact
# A channel is given a goal when it serves it well; spread over more, the money would show nothing anywhere.
_FIT_GOOD: Final = 3

PHASES: Final = (
    # name, part of the time in twelfths, part of the budget in twelfths
    ("Prepare", 2, 1),
    ("Test", 4, 4),
    ("Grow", 6, 7),
)


@attrs.frozen
class Goal:
    """A goal, and what is known of it."""

    text: str
    kind: GoalKind
    target: Target | None  # how much of it, if its words say so
    cents: int  # what is spent on it


@attrs.frozen
class Channel:
    """A channel, and what is known of it."""

    name: str
    kind: ChannelKind
    cents: int  # what is spent on it
    share: float  # percent of the budget, or of the effort where there is none


@attrs.frozen
class Measure:
    """What one channel is to bring for one goal."""

    channel: Channel
    goal: Goal
    cents: int
    effort: int  # in proportion to the money, and there also without any
    expected: int | None  # its part of the goal's target
    ceiling_cents: int | None  # what one of them may cost at most


@attrs.frozen
class Phase:
    """A stretch of the time."""

    name: str
    first_week: int
    last_week: int
    cents: int

    @property
    def weeks(self) -> str:
        """For people."""
        first, last = self.first_week, self.last_week
        return f"week {first}" if first == last else f"weeks {first} to {last}"


@attrs.frozen
class Milestone:
    """Where a goal should stand at the end of a week."""

    week: int
    goal: Goal
    percent: int  # of the way
    wanted: str


@attrs.frozen
class Plan:
    """A profile with all that can be worked out from it."""

    profile: Profile
    traits: tuple[Trait, ...]  # of the audience, at least one
    weeks: int
    weeks_given: bool  # by the goals' own words
    goals: tuple[Goal, ...]
    channels: tuple[Channel, ...]
    measures: tuple[Measure, ...]  # by goal, the largest first
    phases: tuple[Phase, ...]
    milestones: tuple[Milestone, ...]

    def measures_of(self, goal: Goal) -> list[Measure]:
        """What serves a goal, the largest share first."""
        return [measure for measure in self.measures if measure.goal is goal]

    def to_json(self) -> dict[str, Any]:
        """As fields of the result."""
        currency = self.profile.currency or None
        return {
            "weeks": self.weeks,
            "budget": {
                "amount": from_cents(self.profile.budget_cents),
                "currency": currency,
                "by_channel": [
                    {
                        "channel": one.name,
                        "kind": one.kind.key,
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


def make_plan(profile: Profile) -> Plan:
    """Work out what can be worked out from a profile; the same profile always gives the same plan."""
    figures = [read_figures(text) for text in profile.goals]
    given = [one.weeks for one in figures if one.weeks is not None]
    weeks = max(given, default=WEEKS_DEFAULT)
    goal_kinds = [recognise(text, GOALS, OTHER_GOAL) for text in profile.goals]
    channel_kinds = [recognise(name, CHANNELS, OTHER_CHANNEL) for name in profile.channels]
    cells = _divide_budget(profile.budget_cents, goal_kinds, channel_kinds)
    # The effort is divided as money would be: it gives the shares also where there is none.
    effort = _divide_budget(1_000_000, goal_kinds, channel_kinds)
    percent = shares([sum(row[column] for row in effort) for column in range(len(channel_kinds))])
    goals = tuple(
        Goal(text, kind, figure.target, sum(row))
        for text, kind, figure, row in zip(profile.goals, goal_kinds, figures, cells, strict=True)
    )
    channels = tuple(
        Channel(name, kind, sum(row[column] for row in cells), percent[column])
        for column, (name, kind) in enumerate(zip(profile.channels, channel_kinds, strict=True))
    )
    measures = [
        measure
        for goal, row, weights in zip(goals, cells, effort, strict=True)
        for measure in _measure(goal, channels, row, weights)
    ]
    phases = _make_phases(weeks, profile.budget_cents)
    return Plan(
        profile=profile,
        traits=tuple(recognise_in_order(profile.audience, TRAITS)) or (ANYBODY,),
        weeks=weeks,
        weeks_given=bool(given),
        goals=goals,
        channels=channels,
        measures=tuple(measures),
        phases=phases,
        milestones=tuple(_make_milestones(goals, phases)),
    )


def _divide_budget(cents: int, goals: Sequence[GoalKind], channels: Sequence[ChannelKind]) -> list[list[int]]:
    """By goal and channel; the sum over all is exactly ``cents``."""
    good = [[channel.fit_for(goal) >= _FIT_GOOD for channel in channels] for goal in goals]
    for row, goal in zip(good, goals, strict=True):
        if not any(row):  # nothing serves it well: what serves it best has to
            row[_best([channel.fit_for(goal) for channel in channels])] = True
    for column, channel in enumerate(channels):
        if not any(row[column] for row in good):
            good[_best([channel.fit_for(goal) for goal in goals])][column] = True
    weights = [
        # Squared, so that a good channel is clearly preferred to one that is merely possible.
        channel.fit_for(goal) ** 2 * round(_GOAL_WEIGHT * _GOAL_DECAY**place) if is_good else 0
        for place, (goal, row) in enumerate(zip(goals, good, strict=True))
        for channel, is_good in zip(channels, row, strict=True)
    ]
    parts = divide(cents, weights)
    width = len(channels)
    return [parts[start : start + width] for start in range(0, len(parts), width)]


def _best(figures: Sequence[int]) -> int:
    return figures.index(max(figures))


def _measure(
    goal: Goal, channels: Sequence[Channel], row: Sequence[int], weights: Sequence[int]
) -> list[Measure]:
    """What each channel that serves a goal is to bring, the largest first."""
    serving = [
        (weight, cents, channel)
        for weight, cents, channel in zip(weights, row, channels, strict=True)
        if weight
    ]
    serving.sort(key=lambda one: -one[0])
    count = goal.target.count if goal.target else None
    expected: Sequence[int | None] = (
        [None] * len(serving) if count is None else divide(count, [weight for weight, _, _ in serving])
    )
    return [
        Measure(channel, goal, cents, weight, number, cents // number if number and cents else None)
        for number, (weight, cents, channel) in zip(expected, serving, strict=True)
    ]


def _make_phases(weeks: int, cents: int) -> tuple[Phase, ...]:
    lengths = divide(weeks, [length for _, length, _ in PHASES])
    parts = divide(cents, [part for _, _, part in PHASES])
    phases = []
    week = 0
    for (name, _, _), length, part in zip(PHASES, lengths, parts, strict=True):
        phases.append(Phase(name, week + 1, week + length, part))
        week += length
    return tuple(phases)


def _make_milestones(goals: Sequence[Goal], phases: Sequence[Phase]) -> list[Milestone]:
    prepare, test, grow = phases
    half_grown = (test.last_week + grow.last_week) // 2
    weeks = [(prepare.last_week, 0), (test.last_week, 25), (half_grown, 60), (grow.last_week, 100)]
    return [
        Milestone(week, goal, percent, _wanted(goal, percent)) for week, percent in weeks for goal in goals
    ]


def _wanted(goal: Goal, percent: int) -> str:
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
