"""The registered functions that come with streamd: each computes a dataset from files.

They use the dates in the data, never today's date: the same files give the same answer.
"""

from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from statistics import median
from typing import Final

from ...text import normalize_text
from .query import ResearchQuery
from .reader import Reader, register_source
from .shapes import (
    Compliance,
    ComplianceStatus,
    Concentration,
    ContactCompleteness,
    Customer,
    Customers,
    Expiring,
    Financials,
    Hiring,
    HiringTrend,
    Partnerships,
    Peer,
    PeerGap,
    PeerGrowth,
    Peers,
    People,
    Relation,
    ResearchProfile,
    Technology,
    TechnologyGaps,
)
from .sources import NothingKnown, SourceFailed

_TREND_MONTHS: Final = 3
_EXPIRES_SOON: Final = timedelta(days=180)
_LEGAL_FORMS: Final = frozenset(
    {"inc", "ltd", "llc", "gmbh", "ag", "corp", "co", "plc", "sa", "bv", "limited"}
)


async def _industry_peers(
    query: ResearchQuery, reader: Reader
) -> tuple[ResearchProfile, dict[str, ResearchProfile]]:
    """Return the company's profile, and those of the other companies of its industry by id."""
    profiles = await reader.all(ResearchProfile)
    if (own := profiles.get(query.company_id)) is None:
        raise NothingKnown(query)
    peers = {
        id: profile
        for id, profile in profiles.items()
        if id != query.company_id and profile.industry.casefold() == own.industry.casefold()
    }
    return own, peers


@register_source("peers_in_industry", needs=(ResearchProfile,))
async def peers_in_industry(query: ResearchQuery, reader: Reader) -> Peers:
    """List the peers in the industry, and rank the company by size."""
    own, others = await _industry_peers(query, reader)
    peers = [Peer(id=id, name=p.name, employees=p.employees, country=p.country) for id, p in others.items()]
    peers.sort(key=lambda peer: (-(peer.employees or 0), peer.name))
    rank = None
    if own.employees is not None:
        rank = 1 + sum(1 for peer in peers if (peer.employees or 0) > own.employees)
    return Peers(industry=own.industry, peers=peers, rank_by_employees=rank)


@register_source("growth_against_peers", needs=(ResearchProfile, Financials))
async def growth_against_peers(query: ResearchQuery, reader: Reader) -> PeerGrowth:
    """Compare the growth of revenue in the last known year with peers that have figures for both years."""
    _, others = await _industry_peers(query, reader)
    figures = await reader.all(Financials)
    if (own := figures.get(query.company_id)) is None or not own.years:
        raise NothingKnown(query)
    last = max(year.year for year in own.years)
    growth = _growth(own, last)
    if growth is None:
        raise SourceFailed(f"there are no figures for {last - 1} to compare those of {last} with")
    peers = {
        profile.name: percent
        for id, profile in sorted(others.items())
        if id in figures and (percent := _growth(figures[id], last)) is not None
    }
    return PeerGrowth(
        year=last,
        growth_percent=growth,
        peers_median_percent=round(median(peers.values()), 1) if peers else None,
        peers=peers,
    )


def _growth(figures: Financials, year: int) -> float | None:
    """Return the growth of revenue over the year before (%); None if either year is unknown."""
    revenue = {entry.year: entry.revenue for entry in figures.years}
    if year not in revenue or not revenue.get(year - 1):
        return None
    return round(100 * (revenue[year] / revenue[year - 1] - 1), 1)


@register_source("contact_completeness", needs=(People,))
async def contact_completeness(_query: ResearchQuery, reader: Reader) -> ContactCompleteness:
    """Count the people with contact data, and list those without."""
    people = (await reader.entry(People)).people
    reachable = [person for person in people if person.email or person.phone]
    return ContactCompleteness(
        people=len(people),
        with_email=sum(1 for person in people if person.email),
        with_phone=sum(1 for person in people if person.phone),
        percent=round(100 * len(reachable) / len(people), 1) if people else 0.0,
        unreachable=[person.name for person in people if not (person.email or person.phone)],
    )


@register_source("hiring_trend", needs=(Hiring,))
async def hiring_trend(_query: ResearchQuery, reader: Reader) -> HiringTrend:
    """Compare the open positions of the last three months with the three months before."""
    months = sorted((await reader.entry(Hiring)).months, key=lambda entry: entry.month)
    if len(months) < 2 * _TREND_MONTHS:
        raise SourceFailed(f"there are figures for {len(months)} months; a trend takes {2 * _TREND_MONTHS}")
    recent = months[-_TREND_MONTHS:]
    departments: Counter[str] = Counter()
    for entry in recent:
        departments.update(entry.departments)
    openings = departments.total()
    before = sum(sum(entry.departments.values()) for entry in months[-2 * _TREND_MONTHS : -_TREND_MONTHS])
    return HiringTrend(
        from_month=recent[0].month,
        to_month=recent[-1].month,
        openings=openings,
        openings_before=before,
        change_percent=round(100 * (openings / before - 1), 1) if before else None,
        departments=dict(sorted(departments.items(), key=lambda item: (-item[1], item[0]))),
    )


def _gaps(own: set[str], peers: Mapping[str, set[str]]) -> list[PeerGap]:
    """List the names that at least half of the peers have and the company lacks, the most common first."""
    names = {name for having in peers.values() for name in having} - own
    gaps = [
        PeerGap(name=name, peers_with=sum(1 for having in peers.values() if name in having), peers=len(peers))
        for name in names
    ]
    common = [gap for gap in gaps if 2 * gap.peers_with >= gap.peers]
    return sorted(common, key=lambda gap: (-gap.peers_with, gap.name))


@register_source("technology_gaps", needs=(ResearchProfile, Technology))
async def technology_gaps(query: ResearchQuery, reader: Reader) -> TechnologyGaps:
    """Compare the categories of tools with those of the peers."""
    _, others = await _industry_peers(query, reader)
    used = {
        id: {tool.category for tool in technology.tools}
        for id, technology in (await reader.all(Technology)).items()
    }
    if (own := used.get(query.company_id)) is None:
        raise NothingKnown(query)
    peers = {id: used[id] for id in others if id in used}
    return TechnologyGaps(
        categories=sorted(own),
        missing=_gaps(own, peers),
        only_here=sorted(own.difference(*peers.values())) if peers else [],
    )


@register_source("customer_concentration", needs=(Customers,))
async def customer_concentration(_query: ResearchQuery, reader: Reader) -> Concentration:
    """Compute the shares of the largest customers in the revenue."""
    customers = (await reader.entry(Customers)).customers
    shares = sorted(
        ((c.share_of_revenue, c.name) for c in customers if c.share_of_revenue is not None),
        key=lambda share: (-share[0], share[1]),
    )
    if not shares:
        raise SourceFailed("no customer's share of the revenue is known")
    return Concentration(
        largest=shares[0][1],
        largest_percent=shares[0][0],
        top_three_percent=round(sum(share for share, _ in shares[:3]), 1),
        customers=len(shares),
    )


@register_source("compliance_status", needs=(ResearchProfile, Compliance))
async def compliance_status(query: ResearchQuery, reader: Reader) -> ComplianceStatus:
    """List certificates that expire within half a year or are missing, and open incidents."""
    _, others = await _industry_peers(query, reader)
    every = await reader.all(Compliance)
    if (own := every.get(query.company_id)) is None:
        raise NothingKnown(query)
    valid = {
        id: {certificate.name for certificate in entry.certificates if certificate.expires >= entry.as_of}
        for id, entry in every.items()
    }
    expiring = [
        Expiring(name=entry.name, expires=entry.expires, days=(entry.expires - own.as_of).days)
        for entry in own.certificates
        if entry.expires - own.as_of <= _EXPIRES_SOON
    ]
    # An expired certificate is listed as such, and is no gap.
    held = {certificate.name for certificate in own.certificates}
    return ComplianceStatus(
        expiring=sorted(expiring, key=lambda entry: (entry.days, entry.name)),
        missing=_gaps(held, {id: valid[id] for id in others if id in valid}),
        open_incidents=[incident.title for incident in own.incidents if incident.open],
    )


@register_source("relation_to_caller", needs=(ResearchProfile, Customers, Partnerships))
async def relation_to_caller(query: ResearchQuery, reader: Reader) -> Relation:
    """Find the relation between the caller's company and the company of the query by their names."""
    profiles = await reader.all(ResearchProfile)
    if (own := profiles.get(query.company_id)) is None:
        raise NothingKnown(query)
    wanted = _plain(query.user_company)
    called = (id for id, profile in profiles.items() if wanted in (_plain(id), _plain(profile.name)))
    caller_id = next(called, "") if wanted else ""
    caller = profiles.get(caller_id)
    customers = await reader.all(Customers)
    partnerships = await reader.all(Partnerships)
    roles = []
    if query.company_id in customers and _named(wanted, customers[query.company_id].customers):
        roles.append("customer")
    if query.company_id in partnerships:
        partners = partnerships[query.company_id].partners
        roles += sorted({partner.kind for partner in partners if _same(partner.name, wanted)})
    ratio = None
    if caller is not None and caller.employees and own.employees is not None:
        ratio = round(own.employees / caller.employees, 2)
    return Relation(
        caller=query.user_company,
        caller_id=caller_id,
        same_company=caller_id == query.company_id,
        same_industry=caller is not None and caller.industry.casefold() == own.industry.casefold(),
        roles=roles,
        buys_from_caller=caller_id in customers and _named(_plain(own.name), customers[caller_id].customers),
        size_ratio=ratio,
    )


def _plain(name: str) -> str:
    """Normalize a company's name: letters and digits in lower case, without the legal form."""
    name = normalize_text(name).casefold()
    words = "".join(char if char.isalnum() else " " for char in name).split()
    while len(words) > 1 and words[-1] in _LEGAL_FORMS:
        words.pop()
    return " ".join(words)


def _named(wanted: str, entries: list[Customer]) -> bool:
    return any(_same(entry.name, wanted) for entry in entries)


def _same(name: str, wanted: str) -> bool:
    return bool(wanted) and _plain(name) == wanted
