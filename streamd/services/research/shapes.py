"""The shapes of datasets, which rules and registered functions read.

The data of a dataset with a shape is checked against it when it is fetched. Fields that the shape does not
have stay in the finding, and are ignored by the rules.
"""

import re
from datetime import date
from typing import Annotated, Any, Final

from msgspec import Meta, Struct

Count = Annotated[int, Meta(ge=0)]
Amount = Annotated[float, Meta(ge=0)]
Percent = Annotated[float, Meta(ge=0, le=100)]
Name = Annotated[str, Meta(min_length=1)]
Month = Annotated[str, Meta(pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])$")]


class Shape(Struct, frozen=True, kw_only=True):
    """Base of all shapes, and of their parts."""


class DatasetShape(Shape, frozen=True, kw_only=True):
    """Base of the shapes that a dataset may have. Their names in the configuration follow their classes'."""


# --- shapes of data from files and endpoints -----------------------------------------------------


class ResearchProfile(DatasetShape, frozen=True, kw_only=True):
    """A company."""

    name: Name
    industry: Name
    country: str = ""
    founded: int | None = None
    employees: Count | None = None
    website: str = ""
    description: str = ""


class Person(Shape, frozen=True, kw_only=True):
    """An employee."""

    name: Name
    title: Name
    email: str = ""
    phone: str = ""
    since: date | None = None  # in this position


class People(DatasetShape, frozen=True, kw_only=True):
    """The decision makers of a company."""

    as_of: date
    people: list[Person]


class Year(Shape, frozen=True, kw_only=True):
    """One business year, in the currency of the :class:`Financials`."""

    year: int
    revenue: Amount
    operating_profit: float | None = None


class Financials(DatasetShape, frozen=True, kw_only=True):
    """The financial figures of a company by year."""

    currency: Name
    years: list[Year]


class Openings(Shape, frozen=True, kw_only=True):
    """The open positions of one month by department."""

    month: Month
    departments: dict[str, Count]


class Hiring(DatasetShape, frozen=True, kw_only=True):
    """The open positions of a company by month."""

    months: list[Openings]


class Tool(Shape, frozen=True, kw_only=True):
    """A third-party tool in use."""

    name: Name
    category: Name
    since: int | None = None  # a year


class Technology(DatasetShape, frozen=True, kw_only=True):
    """The tools that a company uses."""

    tools: list[Tool]


class Product(Shape, frozen=True, kw_only=True):
    """One product."""

    name: Name
    category: str = ""
    launched: int | None = None  # a year
    share_of_revenue: Percent | None = None


class Products(DatasetShape, frozen=True, kw_only=True):
    """The products of a company."""

    products: list[Product]


class Customer(Shape, frozen=True, kw_only=True):
    """One customer."""

    name: Name
    share_of_revenue: Percent | None = None


class Customers(DatasetShape, frozen=True, kw_only=True):
    """The customers of a company."""

    customers: list[Customer]


class Partner(Shape, frozen=True, kw_only=True):
    """One partner company."""

    name: Name
    kind: Name  # such as supplier, reseller, technology
    since: int | None = None  # a year


class Partnerships(DatasetShape, frozen=True, kw_only=True):
    """The partners of a company."""

    partners: list[Partner]


class NewsItem(Shape, frozen=True, kw_only=True):
    """One report."""

    date: date
    title: Name
    topic: Name


class News(DatasetShape, frozen=True, kw_only=True):
    """The reports about a company."""

    as_of: date
    items: list[NewsItem]


class Certificate(Shape, frozen=True, kw_only=True):
    """A certificate, and its last valid day."""

    name: Name
    expires: date


class Incident(Shape, frozen=True, kw_only=True):
    """A compliance incident; ``open`` until it is resolved."""

    date: date
    title: Name
    open: bool = False


class Compliance(DatasetShape, frozen=True, kw_only=True):
    """The certificates and incidents of a company."""

    as_of: date
    certificates: list[Certificate] = []
    incidents: list[Incident] = []


# --- shapes of data computed by functions --------------------------------------------------------


class Peer(Shape, frozen=True, kw_only=True):
    """A company of the same industry."""

    id: str
    name: str
    employees: int | None
    country: str


class Peers(DatasetShape, frozen=True, kw_only=True):
    """The peers of a company in its industry, the largest first."""

    industry: str
    peers: list[Peer]
    rank_by_employees: int | None  # 1 is the largest; None if the company's size is unknown


class PeerGrowth(DatasetShape, frozen=True, kw_only=True):
    """The growth of revenue in the last known year, compared with peers."""

    year: int
    growth_percent: float
    peers_median_percent: float | None
    peers: dict[str, float]  # percent, by name


class ContactCompleteness(DatasetShape, frozen=True, kw_only=True):
    """The share of known people with contact data."""

    people: int
    with_email: int
    with_phone: int
    percent: float  # with e-mail or phone
    unreachable: list[str]


class HiringTrend(DatasetShape, frozen=True, kw_only=True):
    """The open positions of the last three known months, compared with the three months before."""

    from_month: Month
    to_month: Month
    openings: int
    openings_before: int
    change_percent: float | None  # None without positions before
    departments: dict[str, int]  # of the last three months, the largest first


class PeerGap(Shape, frozen=True, kw_only=True):
    """A tool or certificate that most peers have and the company lacks."""

    name: str
    peers_with: int
    peers: int


class TechnologyGaps(DatasetShape, frozen=True, kw_only=True):
    """The categories of tools, compared with peers."""

    categories: list[str]
    missing: list[PeerGap]
    only_here: list[str]


class Concentration(DatasetShape, frozen=True, kw_only=True):
    """The shares of the largest customers in the revenue."""

    largest: str
    largest_percent: float
    top_three_percent: float
    customers: int  # with a known share


class Expiring(Shape, frozen=True, kw_only=True):
    """A certificate that expires soon; ``days`` is negative after its expiry."""

    name: str
    expires: date
    days: int


class ComplianceStatus(DatasetShape, frozen=True, kw_only=True):
    """The open points of a company's compliance."""

    expiring: list[Expiring]
    missing: list[PeerGap]
    open_incidents: list[str]


class Relation(DatasetShape, frozen=True, kw_only=True):
    """The relation between the caller's company and the company of the query."""

    caller: str
    caller_id: str  # empty if the caller's company is unknown
    same_company: bool
    same_industry: bool
    roles: list[str]  # of the caller's company: customer, or the kind of a partner
    buys_from_caller: bool
    size_ratio: float | None  # employees of the company, divided by those of the caller's company


SHAPES: Final = {
    re.sub(r"(?<!^)(?=[A-Z])", "_", shape.__name__.removeprefix("Research")).lower(): shape
    for shape in DatasetShape.__subclasses__()
}
"""The shapes by their names in the configuration."""

SHAPE_NAMES: Final[dict[type[Any], str]] = {shape: name for name, shape in SHAPES.items()}
