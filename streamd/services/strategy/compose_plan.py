"""The rules for what rests on figures: channels and budget, the way there, what is measured."""

from typing import Final

from .markdown import bullets, join, numbered, sentence, table
from .money import format_money, shares
from .plan import Channel, Goal, Measure, Plan

# A goal's channels beyond these are in the result's measures; in the text they would hide the large ones.
_MEASURES_SHOWN: Final = 4


def money(plan: Plan, cents: int) -> str:
    """A part of the budget, for people."""
    return format_money(cents, plan.profile.currency)


def compose_channels(plan: Plan) -> str:
    """Who gets what, and what it is for."""
    has_money = plan.profile.budget_cents > 0
    ranked = sorted(plan.channels, key=lambda one: -one.share)
    goal_shares = shares(_efforts(plan))
    channels = [(one.name, money(plan, one.cents), f"{one.share:g} %") for one in ranked]
    goals = [
        (goal.text, money(plan, goal.cents), f"{share:g} %")
        for goal, share in zip(plan.goals, goal_shares, strict=True)
    ]
    total = ("In all", plan.profile.budget, "100 %")
    share_of = "Share of the budget" if has_money else "Share of the working time"
    parts = [
        f"{plan.profile.budget} is divided by how well each channel serves each goal; earlier goals count"
        " more."
        if has_money
        else "Without a budget, the shares are shares of working time.",
        table(("Channel", "Budget", share_of), [*channels, total]),
        table(("Goal", "Budget", share_of), [*goals, total]),
        "**What each channel is for:**\n\n" + bullets(_describe_channel(plan, channel) for channel in ranked),
        "**Moving money:** after the test phase, take a third from the channel with the most expensive"
        " results and give it to the one with the cheapest, if each has brought at least ten. Do so once"
        " every two weeks, not more often: otherwise you only follow chance."
        if len(plan.channels) > 1 and has_money
        else "**Keep to it:** whatever is begun is kept up through the test phase before it is judged.",
    ]
    return "\n\n".join(parts)


def compose_roadmap(plan: Plan) -> str:
    """What is done when, and where each goal should stand."""
    prepare, test, grow = plan.phases
    by_patience = sorted(plan.channels, key=lambda one: -one.kind.lead_weeks)
    by_share = sorted(plan.channels, key=lambda one: -one.share)
    parts = [
        f"**{prepare.name}, {prepare.weeks}** ({money(plan, prepare.cents)}):\n\n"
        + numbered(
            [
                (
                    "Write down today's figure for every goal, and see that it is counted the same way"
                    " from now on."
                ),
                *(f"{one.name}: {one.kind.first}." for one in by_patience),
            ]
        ),
        f"**{test.name}, {test.weeks}** ({money(plan, test.cents)}):\n\n"
        + bullets(
            [
                *(f"{one.name}: {one.kind.rhythm}." for one in by_patience),
                f"At the end of week {test.last_week}: compare what one result costs in each channel.",
            ]
        ),
        f"**{grow.name}, {grow.weeks}** ({money(plan, grow.cents)}):\n\n"
        + bullets(
            [
                f"Give the most to what proved itself; on today's knowledge that is {by_share[0].name}.",
                "Stop what has not reached a quarter of its figure, and say so to everybody involved.",
                (
                    f"By week {grow.last_week}: write down what is kept for the time after, and what it"
                    " costs a month."
                ),
            ]
        ),
        "**Milestones:**\n\n"
        + table(
            ("By the end of", "Goal", "Reached"),
            [(f"week {one.week}", one.goal.text, one.wanted) for one in plan.milestones],
        ),
    ]
    return "\n\n".join(parts)


def compose_measures(plan: Plan) -> str:
    """What is counted for each goal, what each channel is to bring, and what follows from it."""
    test = plan.phases[1]
    parts = [_describe_measures(plan, goal) for goal in plan.goals]
    parts.append(
        "**Every week, half an hour:**\n\n"
        + numbered(
            [
                f"Enter the figures of {join([one.name for one in plan.channels])}.",
                "Look at the early signs first: they move two to four weeks before the results.",
                "Decide one thing to change, write down what you expect of it, and look at it in two weeks.",
            ]
        )
    )
    parts.append(
        "**What follows from the figures:**\n\n"
        + bullets(
            [
                (
                    "A result costs more than its ceiling for two weeks: halve the spending there until"
                    " you know why."
                ),
                "It costs less than half of its ceiling: raise the spending by a third every two weeks.",
                (
                    f"Fewer than a quarter of the way by week {test.last_week}: change the message before"
                    " the channel."
                ),
            ]
        )
    )
    return "\n\n".join(parts)


# --- their parts ------------------------------------------------------------------------------


def _efforts(plan: Plan) -> list[int]:
    """The weight of each goal; its money, or where there is none, that of its channels' effort."""
    if plan.profile.budget_cents:
        return [goal.cents for goal in plan.goals]
    return [sum(measure.effort for measure in plan.measures_of(goal)) for goal in plan.goals]


def _describe_channel(plan: Plan, channel: Channel) -> str:
    served = [measure.goal.text for measure in plan.measures if measure.channel is channel]
    goals = f" Here it serves: {join([f'“{text}”' for text in served[:3]])}." if served else ""
    return f"**{channel.name}:** {channel.kind.role}.{goals} It asks for {channel.kind.rhythm}."


def _describe_measures(plan: Plan, goal: Goal) -> str:
    measures = plan.measures_of(goal)
    target = f" The target is {goal.target} by week {plan.weeks}." if goal.target else ""
    rows = [
        (
            one.channel.name,
            one.channel.kind.figure,
            "" if one.expected is None else f"{one.expected:,}",
            _ceiling(plan, one),
        )
        for one in measures[:_MEASURES_SHOWN]
    ]
    rest = len(measures) - len(rows)
    more = f"\n\n{rest} further channel{'s add' if rest > 1 else ' adds'} smaller parts." if rest else ""
    return (
        f"**{sentence(goal.text)}** Count {goal.kind.counted}.{target} The early sign is"
        f" {goal.kind.early_sign}.\n\n"
        + table(("Channel", "Its own figure", f"Its part of the {goal.kind.results}", "One may cost"), rows)
        + more
    )


def _ceiling(plan: Plan, measure: Measure) -> str:
    return "" if measure.ceiling_cents is None else f"at most {money(plan, measure.ceiling_cents)}"
