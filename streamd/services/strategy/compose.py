"""The rules that compose a strategy where no model does: start, audience, position.

Each is a function from the plan to Markdown without a heading. The same plan always gives the same text.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from ...text import Rules
from .compose_plan import compose_channels, compose_measures, compose_roadmap, money
from .markdown import article, bullets, join, numbered, sentence, table
from .plan import Channel, Goal, Plan

# Below this much of the budget a channel gets too little to be judged.
_SHARE_SMALL: Final = 5.0


def make_rules() -> Rules:
    """The rules by the purpose of a prompt, whose facts hold the plan."""
    composers = {
        "analysis": compose_analysis,
        "audience": compose_audience,
        "positioning": compose_positioning,
        "channels": compose_channels,
        "roadmap": compose_roadmap,
        "measures": compose_measures,
    }

    def with_plan(compose: Any) -> Any:
        def rule(facts: Mapping[str, Any]) -> str:
            text: str = compose(facts["plan"])
            return text

        return rule

    return {f"strategy.{name}": with_plan(compose) for name, compose in composers.items()}


def compose_analysis(plan: Plan) -> str:
    """What the profile says, what it leaves open, and what may go wrong."""
    profile = plan.profile
    parts = [
        f"**The business.** {sentence(profile.business)}",
        f"**The audience.** {sentence(profile.audience)}",
        f"**The goals**, the most important first:\n\n{numbered(map(_describe_goal, plan.goals))}",
        f"**The time.** {_describe_time(plan)}",
        f"**The means.** {_describe_means(plan)}",
    ]
    open_points = list(_find_open_points(plan))
    if open_points:
        parts.append(f"**To be settled before the start:**\n\n{bullets(open_points)}")
    parts.append(f"**What may go wrong:**\n\n{bullets(_find_risks(plan))}")
    return "\n\n".join(parts)


def compose_audience(plan: Plan) -> str:
    """Who they are, what decides for them, and how to speak to them."""
    who = join([trait.who for trait in plan.traits])
    first = plan.goals[0]
    parts = [
        f"You want to reach: {sentence(plan.profile.audience)} These are {who}.",
        f"**What matters to them:**\n\n{bullets(trait.matters for trait in plan.traits)}",
        f"**What holds them back:**\n\n{bullets(trait.doubts for trait in plan.traits)}",
        f"**How to speak to them:** {'; '.join(trait.tone for trait in plan.traits)}.",
        "**How they get from not knowing you to your first goal:**\n\n"
        + numbered(
            [
                (
                    f"They notice you: {_meeting_points(plan, 'awareness')}. They ask themselves whether"
                    " this is for people like them."
                ),
                (
                    f"They compare: {_meeting_points(plan, 'leads')}. They look for a reason to believe"
                    " you, and for the price."
                ),
                (
                    f"They decide. What counts for “{first.text}” is {article(first.kind.result)}: ask for"
                    " it plainly, and for nothing else in the same place."
                ),
                (
                    f"They come back: {_meeting_points(plan, 'retention')}. Who was content is asked to"
                    " tell others."
                ),
            ]
        ),
        (
            "**Find out within two weeks:** talk to five people of this audience for 20 minutes each. Ask"
            " when they last had the need, what they did then, whom they asked, and what they paid. Change"
            " this section wherever they contradict it."
        ),
    ]
    return "\n\n".join(parts)


def compose_positioning(plan: Plan) -> str:
    """A statement, a message for each goal, and their proof."""
    trait = plan.traits[0]
    messages = [(goal.text, goal.kind.message, _proof_for(goal)) for goal in plan.goals]
    parts = [
        (
            "**The statement**, to be completed with your own proof and then used unchanged"
            f" everywhere:\n\n> For: {sentence(plan.profile.audience)} We offer:"
            f" {sentence(plan.profile.business)} What matters to them is {trait.matters}. We are the safe"
            f" choice because we take away what holds them back: {trait.doubts}."
        ),
        "**A message for each goal:**\n\n" + table(("Goal", "Say", "Prove it with"), messages),
        f"**The tone** is {trait.tone}. One message has one thought and one thing to do.",
        (
            "**Test it before it is spread:** write the first message in two ways, one that begins with"
            f" {_first_of(trait.matters)} and one that begins with the doubt: {_first_of(trait.doubts)}."
            f" Show each to half of those who see {plan.channels[_largest(plan)].name}, and keep the one"
            f" that brings more {plan.goals[0].kind.results}."
        ),
    ]
    return "\n\n".join(parts)


# --- their parts ------------------------------------------------------------------------------


def _describe_goal(goal: Goal) -> str:
    target = f"the target is {goal.target}" if goal.target else "no figure is given"
    return f"{sentence(goal.text)} It is counted in {goal.kind.results}; {target}."


def _describe_time(plan: Plan) -> str:
    source = "as the goals say" if plan.weeks_given else "a quarter, unless you decide otherwise"
    return f"This strategy covers {plan.weeks} weeks: {source}."


def _describe_means(plan: Plan) -> str:
    profile = plan.profile
    count = len(plan.channels)
    channels = f"{count} channel{'s' if count > 1 else ''}: {join([one.name for one in plan.channels])}"
    if not profile.budget_cents:
        return f"There is no budget for advertising; what is divided is working time, for {channels}."
    weekly = money(plan, profile.budget_cents // plan.weeks)
    each = money(plan, profile.budget_cents // plan.weeks // count)
    return f"{profile.budget} in all is {weekly} a week, or {each} a week and channel, for {channels}."


def _find_open_points(plan: Plan) -> Iterable[str]:
    for goal in plan.goals:
        if goal.target is None:
            yield f"“{goal.text}” has no figure. Say how many {goal.kind.results} by week {plan.weeks}."
        elif goal.target.is_percent and not goal.target.is_level:
            yield f"“{goal.text}”: {goal.target} of what? Write down today's figure."
    for channel in plan.channels:
        if channel.kind.key == "other":
            yield f"What {channel.name} costs and whom it reaches is not known here: test it first."


def _find_risks(plan: Plan) -> Iterable[str]:
    slow = [one.name for one in plan.channels if one.kind.lead_weeks * 2 > plan.weeks]
    if slow:
        yield (
            f"{join(slow)} can hardly be judged within {plan.weeks} weeks: begin there first, and do not"
            " let the first goal depend on it."
        )
    small = [one.name for one in plan.channels if one.share < _SHARE_SMALL]
    if small:
        yield f"{join(small)} would get less than {_SHARE_SMALL:g} % each: start there last, or leave it out."
    if len(plan.goals) > 3:
        yield (
            f"{len(plan.goals)} goals are many for one team: where they compete, “{plan.goals[0].text}”"
            " goes before."
        )
    if len(plan.channels) == 1:
        only = plan.channels[0].name
        yield f"Everything depends on {only}: prepare a second channel by week {plan.weeks // 2}."
    yield "The figures behind this split are ordinary practice, not yours; the test phase corrects them."


def _meeting_points(plan: Plan, goal_key: str) -> str:
    """The two channels that serve a goal best."""
    ranked = sorted(plan.channels, key=lambda one: -one.kind.fit.get(goal_key, 0))
    return "through " + join([one.name for one in ranked[:2]])


def _proof_for(goal: Goal) -> str:
    return {
        "awareness": "three customers in their own words, with name and picture",
        "leads": "one case from the first talk to the result, with figures",
        "sales": "price, delivery and return in one place, and ratings by buyers",
        "retention": "what returning customers get that others do not",
        "traffic": "an answer on the page that is complete without buying",
        "community": "what members did together last month",
        "launch": "a film of it being used for the first time",
        "hiring": "a day at work, told by two who do it",
    }.get(goal.kind.key, "one example of the change, before and after")


def _first_of(phrase: str) -> str:
    return re.split(r"[,:]| and ", phrase)[0]


def _largest(plan: Plan) -> int:
    def share(channel: Channel) -> float:
        return channel.share

    return plan.channels.index(max(plan.channels, key=share))
