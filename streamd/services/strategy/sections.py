"""The sections of a strategy, in the order they are written; each is a step of the work."""

from typing import Final

import attrs

from ...tasks import StepPlan


@attrs.frozen
class Section:
    """One section."""

    name: str  # of the step
    title: str
    doing: str  # what is said while it is written
    brief: str  # what a model is told to write
    words: int  # about how long it is to be; a step's progress is judged by it
    weight: float = 1.0

    @property
    def purpose(self) -> str:
        """The name of the rule that composes it."""
        return f"strategy.{self.name}"


SECTIONS: Final = (
    Section(
        "analysis",
        "Where you start",
        "Reading the profile",
        "Assess the starting point: what the business offers, what the goals ask for and in which time,"
        " what the budget allows a week and a channel, what is missing in the profile, and the main risks.",
        250,
    ),
    Section(
        "audience",
        "Whom you want to reach",
        "Describing the audience",
        "Describe the audience: what matters to it, what holds it back, how it decides, and how to speak"
        " to it.",
        250,
    ),
    Section(
        "positioning",
        "What you stand for",
        "Finding the position and the messages",
        "Give a positioning statement, a message for each goal, and the proof that each message needs.",
        250,
    ),
    Section(
        "channels",
        "Channels and budget",
        "Dividing the budget",
        "Explain the split of the budget by channel and by goal as it is given, in a table each, and say"
        " for every channel what it is for, what to do first and what it then asks for.",
        400,
        1.5,
    ),
    Section(
        "roadmap",
        "The way there",
        "Laying out the weeks",
        "Lay out the phases with their weeks and budgets as given: what is done in each, and the milestones.",
        350,
        1.5,
    ),
    Section(
        "measures",
        "How you will know",
        "Choosing what is measured",
        "For each goal, say what is counted and what each channel is to bring as given; then give a weekly"
        " routine and rules for when to move money.",
        350,
        1.5,
    ),
)

NAMES: Final = tuple(section.name for section in SECTIONS)


def plan_steps() -> list[StepPlan]:
    """The steps of a task that writes all of them."""
    return [StepPlan(section.name, section.weight) for section in SECTIONS]
