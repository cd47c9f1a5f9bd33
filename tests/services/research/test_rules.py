"""Insights and recommendations from findings, by the caller's role and company."""

from datetime import date
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.services.research.query import ResearchQuery
from streamd.services.research.roles import Field, Level, read_role
from streamd.services.research.rules import Conclusions, Insight, Recommendation, derive, engine, sentences
from streamd.services.research.rules.sentences import names
from streamd.services.research.shapes import (
    SHAPES,
    ComplianceStatus,
    Concentration,
    ContactCompleteness,
    Expiring,
    Financials,
    HiringTrend,
    News,
    NewsItem,
    PeerGrowth,
    People,
    Person,
    Relation,
    ResearchProfile,
    Shape,
    Year,
)


def conclude(*found: Shape, role: str = "Head of Sales", company: str = "Caller Co") -> Conclusions:
    by_name = {name: shape for shape in found for name, type_ in SHAPES.items() if type(shape) is type_}
    return derive(ResearchQuery("risk", "acme", role, company), by_name)


def entries(conclusions: Conclusions) -> list[Insight | Recommendation]:
    return [*conclusions.insights, *conclusions.recommendations]


def texts(conclusions: Conclusions, rule: str) -> list[str]:
    return [entry.text for entry in entries(conclusions) if entry.rule == rule]


# --- roles --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("title", "level", "field"),
    [
        ("CEO", Level.EXECUTIVE, Field.GENERAL),
        ("Chief Financial Officer", Level.EXECUTIVE, Field.FINANCE),
        ("Founder & CTO", Level.EXECUTIVE, Field.TECHNOLOGY),
        ("Managing Director", Level.EXECUTIVE, Field.GENERAL),
        ("Vice President of Sales", Level.VICE_PRESIDENT, Field.SALES),
        ("SVP Marketing", Level.VICE_PRESIDENT, Field.MARKETING),
        ("Vice\u2011President&nbsp;of Sales", Level.VICE_PRESIDENT, Field.SALES),
        ("Ｈｅａｄ\u200b of IT", Level.DIRECTOR, Field.TECHNOLOGY),
        ("Head of  IT", Level.DIRECTOR, Field.TECHNOLOGY),
        ("Director of Procurement", Level.DIRECTOR, Field.PURCHASING),
        ("HR Manager", Level.MANAGER, Field.PEOPLE),
        ("Product Owner", Level.MANAGER, Field.PRODUCT),
        ("Owner", Level.EXECUTIVE, Field.GENERAL),
        ("Account Executive", Level.SPECIALIST, Field.SALES),
        ("HR Business Partner", Level.SPECIALIST, Field.PEOPLE),
        ("Assistant to the CEO", Level.SPECIALIST, Field.GENERAL),
        ("General Counsel", Level.SPECIALIST, Field.LEGAL),
        ("Supply Chain Director", Level.DIRECTOR, Field.OPERATIONS),
        ("Credit Analyst", Level.SPECIALIST, Field.GENERAL),  # contains "it", but not as a word
        ("Zauberer", Level.SPECIALIST, Field.GENERAL),
        ("", Level.SPECIALIST, Field.GENERAL),
    ],
)
def test_title_states_level_and_field(title: str, level: Level, field: Field) -> None:
    role = read_role(title)
    assert (role.level, role.field) == (level, field)


# --- people -------------------------------------------------------------------------------------

PEOPLE = People(
    as_of=date(2025, 6, 30),
    people=[
        Person(name="Ann", title="CEO", email="ann@x.example"),
        Person(name="Bob", title="Head of Sales"),
        Person(name="Cid", title="Director of Purchasing", since=date(2025, 1, 1)),
        Person(name="Dee", title="Sales Manager", since=date(2024, 6, 29)),
    ],
)


@pytest.mark.parametrize(
    ("role", "at_level", "first"),
    [
        ("Director of Sales", ["Bob", "Cid"], "Bob"),
        ("Director of Purchasing", ["Bob", "Cid"], "Cid"),
        ("CFO", ["Ann"], "Ann"),
        ("Sales Manager", ["Dee"], "Dee"),
    ],
)
def test_counterparts_are_at_the_callers_level(role: str, at_level: list[str], first: str) -> None:
    conclusions = conclude(PEOPLE, role=role)
    [insight] = [entry for entry in conclusions.insights if entry.rule == "counterparts"]
    assert insight.figures["at_level"] == len(at_level)
    assert set(insight.text.rpartition(": ")[2].rstrip(".").split(" and ")) == set(at_level)
    [advice] = [entry for entry in conclusions.recommendations if entry.rule == "counterparts"]
    assert f"As {role} at Caller Co, begin with {first}" in advice.text
    assert advice.priority == "high"
    assert advice.datasets == insight.datasets == ["people"]


def test_nearest_level_is_named_if_nobody_is_at_the_callers() -> None:
    conclusions = conclude(PEOPLE, role="VP Operations")  # between Ann and the directors
    assert (
        "none is at your level (vice president); Ann is nearest (executive)"
        in texts(conclusions, "counterparts")[0]
    )
    assert conclusions.recommendations[0].priority == "normal"


def test_people_in_the_callers_field_are_listed() -> None:
    assert "2 people at acme work in sales, as you do: Bob and Dee." in texts(conclude(PEOPLE), "same_field")
    assert texts(conclude(PEOPLE, role="CTO"), "same_field") == []
    assert texts(conclude(PEOPLE, role="Zauberer"), "same_field") == [], (
        "an unknown field is not a common one"
    )


def test_fields_without_a_decision_maker_are_listed() -> None:
    [insight, advice] = texts(conclude(PEOPLE), "missing_fields")
    assert insight == "Nobody from director upwards is known at acme in finance, technology and operations."
    assert "who decides about money" in advice


def test_newcomers_are_judged_by_the_date_of_the_data() -> None:
    [insight, advice] = texts(conclude(PEOPLE), "newcomers")
    assert insight == "New in their position within the year before 2025-06-30: Cid."
    assert advice.startswith("Ask Cid (Director of Purchasing, since 2025-01-01)")


def test_missing_contact_of_the_best_counterpart_is_urgent() -> None:
    contacts = ContactCompleteness(
        people=4, with_email=1, with_phone=0, percent=25.0, unreachable=["Bob", "Cid", "Dee"]
    )
    conclusions = conclude(contacts, PEOPLE)
    [urgent] = [entry for entry in conclusions.recommendations if entry.rule == "contact_gaps"]
    assert "address or a number of Bob" in urgent.text
    assert urgent.priority == "high"
    assert urgent.datasets == ["contact_completeness", "people"]
    [other] = [e for e in conclude(contacts, PEOPLE, role="CEO").recommendations if e.rule == "contact_gaps"]
    assert other.text == "Complete the contacts of Bob, Cid and Dee."
    [alone] = [entry for entry in conclude(contacts).insights if entry.rule == "contact_gaps"]
    assert alone.datasets == ["contact_completeness"], "a missing dataset is not named"


def test_company_without_known_people() -> None:
    nobody = People(as_of=date(2025, 1, 1), people=[])
    assert texts(conclude(nobody), "counterparts") == ["No decision maker of acme is known."]


# --- figures ------------------------------------------------------------------------------------


def growth(own: float, median: float | None) -> PeerGrowth:
    return PeerGrowth(
        year=2024,
        growth_percent=own,
        peers_median_percent=median,
        peers={"A": 1.0, "B": 2.0} if median is not None else {},
    )


@pytest.mark.parametrize(
    ("own", "median", "expected"),
    [
        (20.0, 5.0, "grew by 20% in 2024, 15 percentage points more than the median of 2 peers (+5%)"),
        (-3.0, 5.0, "shrank by 3% in 2024, 8 percentage points less than the median of 2 peers (+5%)"),
        (6.9, 5.0, "grew by 6.9% in 2024, as much as the median of 2 peers"),
        (6.9, None, "grew by 6.9% in 2024; no figures of peers are known"),
    ],
)
def test_growth_is_compared_with_the_median_of_peers(own: float, median: float | None, expected: str) -> None:
    assert expected in texts(conclude(growth(own, median)), "growth_against_peers")[0]


def test_advice_on_growth_depends_on_the_callers_field() -> None:
    advice = {
        role: texts(conclude(growth(20.0, 5.0), role=role), "growth_against_peers")[1]
        for role in ("Head of Sales", "CFO", "CTO", "Zauberer")
    }
    assert "speak of capacity" in advice["Head of Sales"]
    assert "how the growth is financed" in advice["CFO"]
    assert "systems the growth strains" in advice["CTO"]
    assert "otherwise than its peers" in advice["Zauberer"]
    assert "savings" in texts(conclude(growth(-9.0, 5.0)), "growth_against_peers")[1]
    assert len(texts(conclude(growth(6.0, 5.0)), "growth_against_peers")) == 1, (
        "no advice without a difference"
    )


def test_margin_is_compared_with_the_first_year() -> None:
    years = [
        Year(year=2024, revenue=200.0, operating_profit=-10.0),
        Year(year=2022, revenue=100.0, operating_profit=5.0),
        Year(year=2025, revenue=100.0),
    ]
    sentences = texts(conclude(Financials(currency="EUR", years=years)), "margin")
    assert sentences[0] == "The operating margin of acme was -5% in 2024, -10 percentage points since 2022."
    assert "lost money in 2024" in sentences[1]
    assert texts(conclude(Financials(currency="EUR", years=[])), "margin") == []


def trend(openings: int, before: int, change: float | None, **departments: int) -> HiringTrend:
    return HiringTrend(
        from_month="2025-04",
        to_month="2025-06",
        openings=openings,
        openings_before=before,
        change_percent=change,
        departments=departments,
    )


def test_hiring_is_compared_with_the_months_before() -> None:
    sentences = texts(conclude(trend(12, 6, 100.0, Warehouse=9, Sales=3)), "hiring")
    assert (
        sentences[0] == "acme had 12 openings from 2025-04 to 2025-06, +100% against the three months before."
    )
    assert sentences[1] == "3 of these openings (25%) are in your field: Sales."
    assert "most in Warehouse" in sentences[2]
    assert "after none" in texts(conclude(trend(1, 0, None, Sales=1)), "hiring")[0]
    assert "expect budgets" in texts(conclude(trend(3, 6, -50.0, Sales=3)), "hiring")[-1]
    assert len(texts(conclude(trend(0, 0, None), role="CEO"), "hiring")) == 1


def test_head_of_the_growing_department_is_named() -> None:
    conclusions = conclude(PEOPLE, trend(10, 10, 0.0, Sales=8, IT=2))
    [insight] = [entry for entry in conclusions.insights if entry.rule == "growing_team"]
    assert insight.text == "Bob (Head of Sales) leads where acme hires most: 8 of 10 openings are in Sales."
    assert insight.datasets == ["people", "hiring_trend"]


def test_dependence_on_few_customers_is_a_warning() -> None:
    few = Concentration(largest="Big", largest_percent=30.0, top_three_percent=40.0, customers=5)
    assert "depends on few customers" in texts(conclude(few), "concentration")[1]
    many = Concentration(largest="Big", largest_percent=29.9, top_three_percent=59.9, customers=5)
    assert len(texts(conclude(many), "concentration")) == 1


# --- market -------------------------------------------------------------------------------------


def relation(**known: Any) -> Relation:
    nothing: dict[str, Any] = {
        "caller": "Caller Co",
        "caller_id": "",
        "same_company": False,
        "same_industry": False,
        "roles": [],
        "buys_from_caller": False,
        "size_ratio": None,
    }
    return Relation(**(nothing | known))


def test_relation_to_the_callers_company_is_described() -> None:
    assert texts(conclude(relation()), "relation") == ["Nothing in the data connects Caller Co with acme."]
    assert texts(conclude(relation(same_company=True)), "relation") == ["acme is your own company."]
    known = conclude(relation(roles=["supplier"]))
    assert texts(known, "relation")[0] == "Caller Co is known to acme already: as supplier."
    assert known.recommendations[0].priority == "high"
    assert any("may compete" in text for text in texts(conclude(relation(same_industry=True)), "relation"))
    larger = texts(
        conclude(ResearchProfile(name="Acme", industry="x", employees=50), relation(size_ratio=5.0)),
        "relation",
    )
    assert "Acme (50 employees) has 5 times the people of Caller Co." in larger
    assert any("formal purchase" in text for text in larger)


def test_news_cover_the_ninety_days_before_the_date_of_the_data() -> None:
    items = [
        NewsItem(date=date(2025, 6, 1), title="Last", topic="jobs"),
        NewsItem(date=date(2025, 4, 1), title="Just in", topic="jobs"),
        NewsItem(date=date(2025, 3, 31), title="Too old", topic="old"),
        NewsItem(date=date(2025, 7, 1), title="After the data", topic="odd"),
    ]
    sentences = texts(conclude(News(as_of=date(2025, 6, 30), items=items)), "news")
    assert sentences[0] == (
        "2 reports about acme in the 90 days before 2025-06-30: jobs (2). The latest is of 2025-06-01: Last."
    )
    none = texts(conclude(News(as_of=date(2026, 6, 30), items=items)), "news")
    assert none == ["Nothing was reported about acme in the 90 days before 2026-06-30."]


def test_open_incidents_are_urgent_for_responsible_roles() -> None:
    status = ComplianceStatus(expiring=[], missing=[], open_incidents=["a leak"])
    assert conclude(status, role="General Counsel").recommendations[0].priority == "high"
    assert conclude(status, role="Head of Sales").recommendations[0].priority == "normal"
    over = ComplianceStatus(
        expiring=[Expiring(name="ISO", expires=date(2025, 1, 1), days=-1)], missing=[], open_incidents=[]
    )
    assert texts(conclude(over), "compliance")[0] == "ISO of acme ran out on 2025-01-01."
    clear = ComplianceStatus(expiring=[], missing=[], open_incidents=[])
    assert texts(conclude(clear), "compliance") == ["Nothing is open in the compliance of acme."]


# --- all rules ----------------------------------------------------------------------------------


def test_missing_datasets_are_the_last_insight() -> None:
    conclusions = derive(ResearchQuery("risk", "acme", "CEO", "Co"), {"people": PEOPLE}, {"a": "x", "b": "y"})
    assert conclusions.insights[-1].text == "This rests on 1 of 3 datasets; there is no data from a and b."
    assert conclusions.insights[-1].datasets == ["a", "b"]


def test_order_follows_the_area_and_the_priority() -> None:
    found = (trend(12, 6, 100.0, Sales=12), PEOPLE)
    ranks = [entry.datasets[0] for entry in conclude(*found).insights if len(entry.datasets) == 1]
    assert ranks == sorted(ranks)  # hiring_trend comes before people, as in the area
    priorities = [entry.priority for entry in conclude(*found).recommendations]
    assert priorities == sorted(priorities)  # high, then normal


def test_long_lists_and_names_are_shortened() -> None:
    assert names("ABCDEFGH") == "A, B, C, D, E and 3 more"
    assert names([]) == ""
    assert names(["A"]) == "A"
    assert len(names(["x" * 1000])) == 80
    assert names(["a\n\n b"]) == "a b"


def values_of(type_: Any) -> st.SearchStrategy[Any]:
    """Generate values of a type as msgspec describes it."""
    info = msgspec.inspect.type_info(type_) if not isinstance(type_, msgspec.inspect.Type) else type_
    match info:
        case msgspec.inspect.StructType():
            return st.builds(info.cls, **{field.name: values_of(field.type) for field in info.fields})
        case msgspec.inspect.ListType():
            return st.lists(values_of(info.item_type), max_size=3)
        case msgspec.inspect.DictType():
            return st.dictionaries(values_of(info.key_type), values_of(info.value_type), max_size=4)
        case msgspec.inspect.UnionType():
            return st.one_of([values_of(part) for part in info.types])
        case msgspec.inspect.StrType(pattern=str() as pattern):
            return st.from_regex(pattern.replace("$", r"\Z"))
        case msgspec.inspect.StrType():
            titles = st.sampled_from(["Head of Sales", "CFO", "IT", "reseller", "Purchasing Manager"])
            return titles | st.text(min_size=info.min_length or 0, max_size=200)
        case msgspec.inspect.IntType():
            return st.integers(min_value=info.ge, max_value=2**63)
        case msgspec.inspect.FloatType():
            return st.floats(info.ge, info.le, allow_nan=False, allow_infinity=False)
        case msgspec.inspect.DateType():
            return st.dates()
        case msgspec.inspect.BoolType():
            return st.booleans()
        case msgspec.inspect.NoneType():
            return st.none()
    raise AssertionError(f"no values for {info}")


def test_every_table_of_sentences_belongs_to_a_rule() -> None:
    assert sentences.SENTENCES.keys() == {function.__name__ for _, _, function in engine.RULES} | {"coverage"}


@given(st.lists(st.sampled_from(sorted(SHAPES)), unique=True, max_size=5), st.data())
def test_conclusions_from_any_data_name_their_datasets(shapes: list[str], data: st.DataObject) -> None:
    found: dict[str, Shape] = {name: data.draw(values_of(SHAPES[name])) for name in shapes}
    role = data.draw(st.sampled_from(["CEO", "Head of Sales", "CTO", "Buyer", "Zauberer"]))
    query = ResearchQuery("risk", "acme", role, "Caller Co")
    conclusions = derive(query, found)
    assert conclusions == derive(query, found)
    for entry in entries(conclusions):
        assert entry.datasets
        assert set(entry.datasets) <= set(found)
        assert 0 < len(entry.text) < 1500
        assert "\n" not in entry.text
    msgspec.json.encode(conclusions)
