"""Rules about the market: peers, tools, partners, news, compliance, and the caller's own company."""

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from ..roles import Field
from ..shapes import (
    ComplianceStatus,
    Customers,
    News,
    Partnerships,
    Peers,
    Relation,
    ResearchProfile,
    Technology,
    TechnologyGaps,
)
from .engine import Case, Conclusion, be, clip, count, insight, names, recommend, rule

_RECENT: Final = timedelta(days=90)
_MUCH_LARGER: Final = 5.0


@rule(Peers)
def standing(case: Case, peers: Peers) -> Iterator[Conclusion]:
    """Rank the company among its peers by size."""
    if not peers.peers:
        yield insight(f"No peer of {case.company} in {clip(peers.industry)} is known.", peers=0)
        return
    others = names(peer.name for peer in peers.peers)
    rank = "" if peers.rank_by_employees is None else f", number {peers.rank_by_employees} by employees,"
    yield insight(
        f"{case.company}{rank} has {count(len(peers.peers), 'known peer')} in {clip(peers.industry)}: "
        f"{others}.",
        peers=len(peers.peers),
        rank_by_employees=peers.rank_by_employees,
    )


@rule(Relation, also=(ResearchProfile,))
def relation(case: Case, relation: Relation, profile: ResearchProfile | None) -> Iterator[Conclusion]:
    """Describe the relation between the caller's company and this one."""
    caller = clip(case.query.user_company)
    if relation.same_company:
        yield insight(f"{case.company} is your own company.", same_company=True)
        return
    if relation.roles:
        yield insight(
            f"{caller} is known to {case.company} already: as {names(relation.roles)}.", roles=relation.roles
        )
        yield recommend(
            f"Refer to what {caller} and {case.company} do together before you propose anything new.",
            urgent=True,
        )
    if relation.buys_from_caller:
        yield insight(f"{case.company} is a customer of {caller}.", customer=True)
        yield recommend(
            f"Ask your colleagues at {caller} what {case.company} buys before you call.", urgent=True
        )
    if relation.same_industry:
        yield insight(
            f"{caller} and {case.company} are in the same industry: they may compete.", same_industry=True
        )
        if case.role.field in (Field.SALES, Field.MARKETING):
            yield recommend(
                f"Decide what you would not want a competitor to know before you talk to {case.company}."
            )
    if not (relation.roles or relation.buys_from_caller or relation.same_industry):
        yield insight(
            f"Nothing in the data connects {caller} with {case.company}.", known=bool(relation.caller_id)
        )
    if relation.size_ratio is not None:
        yield from _sizes(case, caller, relation.size_ratio, profile)


def _sizes(case: Case, caller: str, ratio: float, profile: ResearchProfile | None) -> Iterator[Conclusion]:
    employees = f" ({profile.employees} employees)" if profile and profile.employees is not None else ""
    yield insight(f"{case.company}{employees} has {ratio:g} times the people of {caller}.", size_ratio=ratio)
    if ratio >= _MUCH_LARGER:
        yield recommend(
            f"{case.company} is much larger than {caller}: expect a formal purchase, and ask for its steps."
        )


@rule(Technology)
def tools(case: Case, technology: Technology) -> Iterator[Conclusion]:
    """Name the oldest of the tools in use."""
    dated = [tool for tool in technology.tools if tool.since is not None]
    if not dated:
        return
    oldest = min(dated, key=lambda tool: (tool.since or 0, tool.name))
    yield insight(
        f"Of the {count(len(technology.tools), 'tool')} known at {case.company}, {clip(oldest.name)} "
        f"({clip(oldest.category)}) is the oldest, since {oldest.since}.",
        tools=len(technology.tools),
        oldest_since=oldest.since,
    )
    if case.role.field is Field.TECHNOLOGY:
        yield recommend(f"Ask what {case.company} plans for {clip(oldest.name)}, its oldest tool.")


@rule(TechnologyGaps)
def technology_gaps(case: Case, gaps: TechnologyGaps) -> Iterator[Conclusion]:
    """List the tools that most peers have and the company lacks, and the reverse."""
    if gaps.missing:
        first = gaps.missing[0]
        yield insight(
            f"Most peers of {case.company} have tools it has not: {names(gap.name for gap in gaps.missing)}; "
            f"{first.peers_with} of {first.peers} have {clip(first.name)}.",
            missing=[gap.name for gap in gaps.missing],
        )
        yield recommend(f"Ask how {case.company} does without {clip(first.name)}, which its peers have.")
    if gaps.only_here:
        yield insight(
            f"None of its peers has {names(gaps.only_here)}, which {case.company} has.",
            only_here=gaps.only_here,
        )


@rule(Customers)
def customers(case: Case, customers: Customers) -> Iterator[Conclusion]:
    """List the customers."""
    known = len(customers.customers)
    yield insight(
        f"{count(known, 'customer')} of {case.company} {be(known)} known: "
        f"{names(customer.name for customer in customers.customers)}."
        if known
        else f"No customer of {case.company} is known.",
        customers=known,
    )


@rule(Partnerships)
def partners(case: Case, partnerships: Partnerships) -> Iterator[Conclusion]:
    """Count the partners by kind, and suggest resellers for an introduction."""
    if not partnerships.partners:
        yield insight(f"No partner of {case.company} is known.", partners=0)
        return
    kinds = Counter(partner.kind for partner in partnerships.partners)
    kinds_text = names(f"{number} {kind}" for kind, number in sorted(kinds.items()))
    yield insight(
        f"{case.company} has {count(len(partnerships.partners), 'known partner')}: {kinds_text}.",
        kinds=dict(sorted(kinds.items())),
    )
    resellers = sorted(partner.name for partner in partnerships.partners if partner.kind == "reseller")
    if resellers and case.role.field is Field.SALES:
        yield recommend(f"{names(resellers)} sells for {case.company}: ask there for an introduction.")


@rule(News)
def news(case: Case, news: News) -> Iterator[Conclusion]:
    """Count recent reports by topic, and name the latest."""
    recent = [item for item in news.items if item.date <= news.as_of and news.as_of - item.date <= _RECENT]
    if not recent:
        yield insight(
            f"Nothing was reported about {case.company} in the 90 days before {news.as_of}.", recent=0
        )
        return
    topics = Counter(item.topic for item in recent)
    latest = max(recent, key=lambda item: (item.date, item.title))
    by_topic = names(f"{topic} ({number})" for topic, number in sorted(topics.items(), key=_most_first))
    yield insight(
        f"{count(len(recent), 'report')} about {case.company} in the 90 days before {news.as_of}: {by_topic}."
        f" The latest is of {latest.date}: {clip(latest.title)}.",
        recent=len(recent),
        topics=dict(sorted(topics.items())),
    )
    yield recommend(
        f"Open with the news of {latest.date} ({clip(latest.title)}): it shows that you follow them."
    )


def _most_first(entry: tuple[str, int]) -> tuple[int, str]:
    return -entry[1], entry[0]


@rule(ComplianceStatus)
def compliance(case: Case, status: ComplianceStatus) -> Iterator[Conclusion]:
    """List certificates that expire or are missing, and open incidents."""
    for entry in status.expiring:
        when = (
            f"ran out on {entry.expires}"
            if entry.days < 0
            else f"ends on {entry.expires}, in {count(entry.days, 'day')}"
        )
        yield insight(
            f"{clip(entry.name)} of {case.company} {when}.", certificate=entry.name, days=entry.days
        )
    if any(entry.days < 0 for entry in status.expiring):
        yield recommend(f"Ask {case.company} for valid certificates before anything is signed.", urgent=True)
    elif status.expiring:
        yield recommend(f"Ask {case.company} when {clip(status.expiring[0].name)} will be renewed.")
    if status.missing:
        yield insight(
            f"Most peers of {case.company} hold {names(gap.name for gap in status.missing)}; it does not.",
            missing=[gap.name for gap in status.missing],
        )
    if still := len(status.open_incidents):
        yield insight(
            f"{count(still, 'incident')} of {case.company} {be(still)} still open: "
            f"{names(status.open_incidents)}.",
            open_incidents=still,
        )
        yield recommend(
            f"Ask what became of this before you sign: {clip(status.open_incidents[0])}.",
            urgent=case.role.field in (Field.LEGAL, Field.PURCHASING, Field.TECHNOLOGY),
        )
    if not (status.expiring or status.missing or status.open_incidents):
        yield insight(f"Nothing is open in the compliance of {case.company}.", open_incidents=0)
