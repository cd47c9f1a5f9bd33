"""What the rules know of goals: what is counted for each, and what has to be said to reach it."""

from typing import Final

import attrs

from .recognise import read_words


@attrs.frozen(kw_only=True)
class GoalKind:
    """A sort of goal."""

    key: str
    words: tuple[str, ...] = attrs.field(converter=read_words)
    result: str  # one of what is counted
    results: str  # many of them
    counted: str  # how it is counted
    early_sign: str  # what moves first
    message: str  # what has to be said to reach it


GOALS: Final = (
    GoalKind(
        key="retention",
        words=(
            "retain, retention, keep, coming back, come back, loyal, churn, repeat, renew, returning,"
            "reactivat, upsell"
        ),
        result="returning customer",
        results="returning customers",
        counted="customers who buy or renew again, against those who could have",
        early_sign="answers to and clicks from messages to existing customers",
        message="why staying is worth more than what they already have",
    ),
    GoalKind(
        key="hiring",
        words="hire, hiring, recruit, applicant, candidate, talent, vacanc",
        result="suitable application",
        results="suitable applications",
        counted="applications that pass the first look, by the channel they name",
        early_sign="visits to the page of open positions that last longer than 30 seconds",
        message="what the work is like, told by those who do it",
    ),
    GoalKind(
        key="leads",
        words=(
            "lead, enquir, inquir, demo, sign-up, signup, sign up, trial, appointment, "
            "consultation, subscri, registration, contact, prospect"
        ),
        result="qualified enquiry",
        results="qualified enquiries",
        counted="enquiries that sales accepts, by the channel of their first visit",
        early_sign="visitors who begin the form",
        message="which problem is solved, and how little the first step costs",
    ),
    GoalKind(
        key="sales",
        words=(
            "sale, sell, revenue, turnover, order, purchas, customer, client, conversion, "
            "profit, booking, ticket, income"
        ),
        result="order",
        results="orders",
        counted="paid orders and their value, by the channel of the last visit before them",
        early_sign="visitors who reach the price or the basket",
        message="what exactly is bought, what it costs and what happens if it does not suit",
    ),
    GoalKind(
        key="traffic",
        words="traffic, visit, click, footfall, download, install",
        result="visit that stays",
        results="visits that stay",
        counted="visits of more than 30 seconds or a second page",
        early_sign="clicks, and what each of them costs",
        message="one question of the audience, and the promise that the page answers it",
    ),
    GoalKind(
        key="community",
        words="communit, engag, follow, fan, member, volunteer, donor, donat",
        result="active member",
        results="active members",
        counted="people who wrote, answered or took part in the last 30 days",
        early_sign="answers for each post",
        message="what members get from each other, not only from the business",
    ),
    GoalKind(
        key="launch",
        words="launch, introduc, releas, opening, new market, expand, enter",
        result="first user",
        results="first users",
        counted="people who used or bought it for the first time",
        early_sign="people on the waiting list",
        message="what can be done now that could not be done before",
    ),
    GoalKind(
        key="awareness",
        words="aware, known, brand, visib, reach, recogn, reputation, image, trust",
        result="person reached twice",
        results="people reached twice",
        counted="people who saw a message at least twice in 30 days, and searches for the name",
        early_sign="how many watch or read to the end",
        message="one memorable sentence on what the business stands for",
    ),
)

OTHER_GOAL: Final = GoalKind(
    key="other",
    words="",
    result="step towards it",
    results="steps towards it",
    counted="what is agreed on before the start as one step towards the goal",
    early_sign="answers to the first messages",
    message="what changes for the audience when the goal is reached",
)
