"""What datasets say: the shapes that rules and computing functions read.

A dataset whose configuration names a shape is checked against it when it arrives. Fields that a shape
does not know are kept in the finding, and passed over by the rules.
"""

from datetime import date
from typing import Annotated, Any, Final

from msgspec import Meta, Struct

Count = Annotated[int, Meta(ge=0)]
Amount = Annotated[float, Meta(ge=0)]
Percent = Annotated[float, Meta(ge=0, le=100)]
Name = Annotated[str, Meta(min_length=1)]
Month = Annotated[str, Meta(pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])$")]


class Shape(Struct, frozen=True, kw_only=True):
    """Base of all shapes."""


# --- as sources tell it -------------------------------------------------------------------------


class Profile(Shape, frozen=True, kw_only=True):
    """Who a company is."""

    name: Name
    industry: Name
    country: str = ""
    founded: int | None = None
    employees: Count | None = None
    website: str = ""
    description: str = ""


class Person(Shape, frozen=True, kw_only=True):
    """Somebody who works there."""

    name: Name
    title: Name
    email: str = ""
    phone: str = ""
    since: date | None = None  # in this position


class People(Shape, frozen=True, kw_only=True):
    """Who decides there."""

    as_of: date
    people: list[Person]


class Year(Shape, frozen=True, kw_only=True):
    """One business year, in the currency of the whole."""

    year: int
    revenue: Amount
    operating_profit: float | None = None


class Financials(Shape, frozen=True, kw_only=True):
    """What the years brought."""

    currency: Name
    years: list[Year]


class Openings(Shape, frozen=True, kw_only=True):
    """Positions that were open in one month, by department."""

    month: Month
    departments: dict[str, Count]


class Hiring(Shape, frozen=True, kw_only=True):
    """Open positions, month by month."""

    months: list[Openings]


class Tool(Shape, frozen=True, kw_only=True):
    """One thing of somebody else's that the company runs on."""

    name: Name
    category: Name
    since: int | None = None  # a year


class Technology(Shape, frozen=True, kw_only=True):
    """What it runs on."""

    tools: list[Tool]


class Product(Shape, frozen=True, kw_only=True):
    """One thing the company sells."""

    name: Name
    category: str = ""
    launched: int | None = None  # a year
    share_of_revenue: Percent | None = None


class Products(Shape, frozen=True, kw_only=True):
    """What it sells."""

    products: list[Product]


class Customer(Shape, frozen=True, kw_only=True):
    """One customer."""

    name: Name
    share_of_revenue: Percent | None = None


class Customers(Shape, frozen=True, kw_only=True):
    """Who buys from it."""

    customers: list[Customer]


class Partner(Shape, frozen=True, kw_only=True):
    """One company it works with."""

    name: Name
    kind: Name  # such as supplier, reseller, technology
    since: int | None = None  # a year


class Partnerships(Shape, frozen=True, kw_only=True):
    """Whom it works with."""

    partners: list[Partner]


class NewsItem(Shape, frozen=True, kw_only=True):
    """One thing that was reported."""

    date: date
    title: Name
    topic: Name


class News(Shape, frozen=True, kw_only=True):
    """What was reported about it."""

    as_of: date
    items: list[NewsItem]


class Certificate(Shape, frozen=True, kw_only=True):
    """One certificate, and the last day it holds."""

    name: Name
    expires: date


class Incident(Shape, frozen=True, kw_only=True):
    """Something that went wrong, and whether it is still being dealt with."""

    date: date
    title: Name
    open: bool = False


class Compliance(Shape, frozen=True, kw_only=True):
    """What it has to show to an auditor."""

    as_of: date
    certificates: list[Certificate] = []
    incidents: list[Incident] = []


# --- as functions compute it --------------------------------------------------------------------


class Peer(Shape, frozen=True, kw_only=True):
    """Another company of the same industry."""

    id: str
    name: str
    employees: int | None
    country: str


class Peers(Shape, frozen=True, kw_only=True):
    """The others of its industry, the largest first."""

    industry: str
    peers: list[Peer]
    rank_by_employees: int | None  # 1 is the largest; None when its own size is not known


class PeerGrowth(Shape, frozen=True, kw_only=True):
    """Growth of revenue in the last year known, beside that of its peers."""

    year: int
    growth_percent: float
    peers_median_percent: float | None
    peers: dict[str, float]  # percent, by name


class ContactCompleteness(Shape, frozen=True, kw_only=True):
    """How many of the people known can be reached."""

    people: int
    with_email: int
    with_phone: int
    percent: float  # with either
    unreachable: list[str]


class HiringTrend(Shape, frozen=True, kw_only=True):
    """The last three months known beside the three before them."""

    from_month: Month
    to_month: Month
    openings: int
    openings_before: int
    change_percent: float | None  # None: there were none before
    departments: dict[str, int]  # of the last three months, the most first


class Gap(Shape, frozen=True, kw_only=True):
    """Something most peers have."""

    name: str
    peers_with: int
    peers: int


class TechnologyGaps(Shape, frozen=True, kw_only=True):
    """Categories of tools beside those of its peers."""

    categories: list[str]
    missing: list[Gap]
    only_here: list[str]


class Concentration(Shape, frozen=True, kw_only=True):
    """How much of the revenue hangs on a few customers."""

    largest: str
    largest_percent: float
    top_three_percent: float
    customers: int  # whose share is known


class Expiring(Shape, frozen=True, kw_only=True):
    """A certificate that ends soon; the days are negative once it has."""

    name: str
    expires: date
    days: int


class ComplianceStatus(Shape, frozen=True, kw_only=True):
    """What an auditor would ask about."""

    expiring: list[Expiring]
    missing: list[Gap]
    open_incidents: list[str]


class Relation(Shape, frozen=True, kw_only=True):
    """What connects the caller's company with the one asked about."""

    caller: str
    caller_id: str  # empty: nothing is known about the caller's company itself
    same_company: bool
    same_industry: bool
    roles: list[str]  # what the caller's company is to the other: customer, or the kind of a partner
    buys_from_caller: bool
    size_ratio: float | None  # employees of the one asked about, by the caller's


SHAPES: Final[dict[str, type[Shape]]] = {
    "profile": Profile,
    "people": People,
    "financials": Financials,
    "hiring": Hiring,
    "technology": Technology,
    "products": Products,
    "customers": Customers,
    "partnerships": Partnerships,
    "news": News,
    "compliance": Compliance,
    "peers": Peers,
    "peer_growth": PeerGrowth,
    "contact_completeness": ContactCompleteness,
    "hiring_trend": HiringTrend,
    "technology_gaps": TechnologyGaps,
    "concentration": Concentration,
    "compliance_status": ComplianceStatus,
    "relation": Relation,
}
"""The shapes by the name that a configuration uses."""

SHAPE_NAMES: Final[dict[type[Any], str]] = {shape: name for name, shape in SHAPES.items()}
