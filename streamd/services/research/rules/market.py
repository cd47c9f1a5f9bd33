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
from .engine import Case, Conclusion, rule

_RECENT: Final = timedelta(days=90)
_MUCH_LARGER: Final = 5.0


@rule(Peers)
def standing(case: Case, peers: Peers) -> Iterator[Conclusion]:
    """Rank the company among its peers by size."""
    if not peers.peers:
        yield case.insight("alone", peers=0)
        return
    yield case.insight("ranked", peers=len(peers.peers), rank_by_employees=peers.rank_by_employees)


@rule(Relation, also=(ResearchProfile,))
def relation(case: Case, relation: Relation, profile: ResearchProfile | None) -> Iterator[Conclusion]:
    """Describe the relation between the caller's company and this one."""
    if relation.same_company:
        yield case.insight("same_company", same_company=True)
        return
    if relation.roles:
        yield case.insight("known", roles=relation.roles)
        yield case.recommend("refer", urgent=True)
    if relation.buys_from_caller:
        yield case.insight("customer", customer=True)
        yield case.recommend("ask_colleagues", urgent=True)
    if relation.same_industry:
        yield case.insight("same_industry", same_industry=True)
        if case.role.field in (Field.SALES, Field.MARKETING):
            yield case.recommend("keep_back")
    if not (relation.roles or relation.buys_from_caller or relation.same_industry):
        yield case.insight("unconnected", known=bool(relation.caller_id))
    if relation.size_ratio is not None:
        employees = profile.employees if profile is not None else None
        yield case.insight("sizes", {"employees": employees}, size_ratio=relation.size_ratio)
        if relation.size_ratio >= _MUCH_LARGER:
            yield case.recommend("much_larger")


@rule(Technology)
def tools(case: Case, technology: Technology) -> Iterator[Conclusion]:
    """Name the oldest of the tools in use."""
    dated = [tool for tool in technology.tools if tool.since is not None]
    if not dated:
        return
    oldest = min(dated, key=lambda tool: (tool.since or 0, tool.name))
    yield case.insight("oldest", {"oldest": oldest}, tools=len(technology.tools), oldest_since=oldest.since)
    if case.role.field is Field.TECHNOLOGY:
        yield case.recommend("plans", oldest=oldest)


@rule(TechnologyGaps)
def technology_gaps(case: Case, gaps: TechnologyGaps) -> Iterator[Conclusion]:
    """List the tools that most peers have and the company lacks, and the reverse."""
    if gaps.missing:
        first = gaps.missing[0]
        yield case.insight("missing", {"first": first}, missing=[gap.name for gap in gaps.missing])
        yield case.recommend("ask", first=first)
    if gaps.only_here:
        yield case.insight("only_here", only_here=gaps.only_here)


@rule(Customers)
def customers(case: Case, customers: Customers) -> Iterator[Conclusion]:
    """List the customers."""
    known = len(customers.customers)
    yield case.insight("known" if known else "nobody", customers=known)


@rule(Partnerships)
def partners(case: Case, partnerships: Partnerships) -> Iterator[Conclusion]:
    """Count the partners by kind, and suggest resellers for an introduction."""
    if not partnerships.partners:
        yield case.insight("nobody", partners=0)
        return
    kinds = Counter(sorted(partner.kind for partner in partnerships.partners))
    numbers = [f"{number} {kind}" for kind, number in kinds.items()]
    yield case.insight("by_kind", {"numbers": numbers}, kinds=dict(kinds))
    resellers = sorted(partner.name for partner in partnerships.partners if partner.kind == "reseller")
    if resellers and case.role.field is Field.SALES:
        yield case.recommend("resellers", resellers=resellers)


@rule(News)
def news(case: Case, news: News) -> Iterator[Conclusion]:
    """Count recent reports by topic, and name the latest."""
    recent = [item for item in news.items if item.date <= news.as_of and news.as_of - item.date <= _RECENT]
    if not recent:
        yield case.insight("nothing", recent=0)
        return
    topics = Counter(sorted(item.topic for item in recent))
    numbers = [f"{topic} ({number})" for topic, number in topics.most_common()]
    latest = max(recent, key=lambda item: (item.date, item.title))
    facts = {"latest": latest, "numbers": numbers}
    yield case.insight("recent", facts, recent=len(recent), topics=dict(topics))
    yield case.recommend("open_with", latest=latest)


@rule(ComplianceStatus)
def compliance(case: Case, status: ComplianceStatus) -> Iterator[Conclusion]:
    """List certificates that expire or are missing, and open incidents."""
    for entry in status.expiring:
        yield case.insight("expiring", {"expires": entry.expires}, certificate=entry.name, days=entry.days)
    if any(entry.days < 0 for entry in status.expiring):
        yield case.recommend("expired", urgent=True)
    elif status.expiring:
        yield case.recommend("renewal", certificate=status.expiring[0].name)
    if status.missing:
        yield case.insight("missing", missing=[gap.name for gap in status.missing])
    if status.open_incidents:
        yield case.insight("incidents", open_incidents=len(status.open_incidents))
        concerns_caller = case.role.field in (Field.LEGAL, Field.PURCHASING, Field.TECHNOLOGY)
        yield case.recommend("ask_first", urgent=concerns_caller)
    if not (status.expiring or status.missing or status.open_incidents):
        yield case.insight("nothing_open", open_incidents=0)
