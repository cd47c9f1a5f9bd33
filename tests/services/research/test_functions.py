"""The registered functions that come with streamd, computed from small files."""

import json
from pathlib import Path
from typing import Any

import attrs
import pytest

from streamd.services.research.configuration import load_areas
from streamd.services.research.query import ResearchQuery
from streamd.services.research.reader import Reader, register_source
from streamd.services.research.settings import ResearchSettings
from streamd.services.research.sources import NothingKnown, SourceFailed
from tests.support.research_rig import no_report, query_of

DATASETS = {
    "peers": ("peers_in_industry", ["profile"]),
    "peer_growth": ("growth_against_peers", ["profile", "financials"]),
    "contact_completeness": ("contact_completeness", ["people"]),
    "hiring_trend": ("hiring_trend", ["hiring"]),
    "technology_gaps": ("technology_gaps", ["profile", "technology"]),
    "concentration": ("customer_concentration", ["customers"]),
    "compliance_status": ("compliance_status", ["profile", "compliance"]),
    "relation": ("relation_to_caller", ["profile", "customers", "partnerships"]),
}
FILES = ("profile", "financials", "people", "hiring", "technology", "customers", "compliance", "partnerships")


async def compute(folder: Path, shape: str, data: dict[str, dict[str, Any]], query: ResearchQuery) -> Any:
    """Compute the dataset of a shape from files with ``data`` by shape and company."""
    text = ""
    for name in FILES:
        (folder / f"{name}.json").write_text(json.dumps({"companies": data.get(name, {})}))
        text += f'[datasets.{name}]\nshape = "{name}"\nfile = "{name}.json"\n'
        text += 'entry = ["companies", "{company_id}"]\n'
    function, uses = DATASETS[shape]
    text += f'[datasets.x]\nshape = "{shape}"\nfunction = "{function}"\nuses = {json.dumps(uses)}\n'
    text += '[areas.a]\ndatasets = ["x"]\n'
    (folder / "areas.toml").write_text(text)
    [dataset] = load_areas(folder / "areas.toml", ResearchSettings(), {})["a"].datasets
    return (await dataset.fetch(query, no_report))[0]


def profile(name: str, industry: str = "tools", employees: int | None = None) -> dict[str, Any]:
    return {"name": name, "industry": industry, "employees": employees}


PROFILES = {
    "own": profile("Own", "tools", 100),
    "one": profile("One", "Tools", 300),
    "two": profile("Two", "tools", 50),
    "new": profile("New", "tools"),
    "far": profile("Far", "bread", 1000),
}
OWN = query_of("own", "a")


async def test_peers_are_sorted_by_size(tmp_path: Path) -> None:
    found = await compute(tmp_path, "peers", {"profile": PROFILES}, OWN)
    assert [peer["id"] for peer in found["peers"]] == ["one", "two", "new"]
    assert found["rank_by_employees"] == 2
    found = await compute(tmp_path, "peers", {"profile": PROFILES}, query_of("new", "a"))
    assert found["rank_by_employees"] is None
    with pytest.raises(NothingKnown, match="nothing is known about nobody"):
        await compute(tmp_path, "peers", {"profile": PROFILES}, query_of("nobody", "a"))


def years(**revenue: float) -> dict[str, Any]:
    return {"currency": "EUR", "years": [{"year": int(y[1:]), "revenue": r} for y, r in revenue.items()]}


async def test_growth_is_compared_with_peers_that_have_the_same_years(tmp_path: Path) -> None:
    figures = {
        "own": years(y2024=120.0, y2023=100.0, y2022=1.0),
        "one": years(y2023=100.0, y2024=110.0),
        "two": years(y2023=100.0, y2024=90.0),
        "new": years(y2022=100.0, y2023=900.0),  # other years
        "far": years(y2023=1.0, y2024=1000.0),  # another industry
    }
    found = await compute(tmp_path, "peer_growth", {"profile": PROFILES, "financials": figures}, OWN)
    assert found == {
        "year": 2024,
        "growth_percent": 20.0,
        "peers_median_percent": 0.0,
        "peers": {"One": 10.0, "Two": -10.0},
    }
    figures = {"own": years(y2024=120.0, y2023=100.0)}
    found = await compute(tmp_path, "peer_growth", {"profile": PROFILES, "financials": figures}, OWN)
    assert found["peers_median_percent"] is None


@pytest.mark.parametrize("own", [years(y2024=1.0), years(y2024=1.0, y2022=1.0), years(y2024=1.0, y2023=0.0)])
async def test_growth_needs_two_consecutive_years(tmp_path: Path, own: dict[str, Any]) -> None:
    with pytest.raises(SourceFailed, match="no figures for 2023"):
        await compute(tmp_path, "peer_growth", {"profile": PROFILES, "financials": {"own": own}}, OWN)
    with pytest.raises(NothingKnown):
        await compute(tmp_path, "peer_growth", {"profile": PROFILES, "financials": {"own": years()}}, OWN)


async def test_contact_completeness_counts_people_with_contact_data(tmp_path: Path) -> None:
    people = [
        {"name": "A", "title": "CEO", "email": "a@x.example", "phone": "1"},
        {"name": "B", "title": "CTO", "phone": "2"},
        {"name": "C", "title": "CFO"},
    ]
    data = {"people": {"own": {"as_of": "2025-01-01", "people": people}}}
    found = await compute(tmp_path, "contact_completeness", data, OWN)
    assert found == {
        "people": 3,
        "with_email": 1,
        "with_phone": 2,
        "percent": 66.7,
        "unreachable": ["C"],
    }
    data["people"]["own"]["people"] = []
    assert (await compute(tmp_path, "contact_completeness", data, OWN))["percent"] == 0.0


def months(*openings: dict[str, int]) -> dict[str, Any]:
    listed = [{"month": f"2025-{n:02}", "departments": entry} for n, entry in enumerate(openings, 1)]
    return {"hiring": {"own": {"months": listed[::-1]}}}  # the order in the file does not matter


async def test_hiring_trend_compares_the_last_six_months(tmp_path: Path) -> None:
    data = months({"X": 99}, {"A": 1}, {"A": 1}, {"A": 2}, {"A": 2}, {"A": 1, "B": 2}, {"B": 1})
    found = await compute(tmp_path, "hiring_trend", data, OWN)
    assert found == {
        "from_month": "2025-05",
        "to_month": "2025-07",
        "openings": 6,
        "openings_before": 4,
        "change_percent": 50.0,
        "departments": {"A": 3, "B": 3},
    }
    found = await compute(tmp_path, "hiring_trend", months({}, {}, {}, {}, {}, {"A": 1}), OWN)
    assert found["change_percent"] is None
    with pytest.raises(SourceFailed, match="figures for 5 months; a trend takes 6"):
        await compute(tmp_path, "hiring_trend", months({}, {}, {}, {}, {}), OWN)


def tools(*categories: str) -> dict[str, Any]:
    return {"tools": [{"name": f"the {category}", "category": category} for category in categories]}


async def test_technology_gaps_are_tools_of_at_least_half_of_the_peers(tmp_path: Path) -> None:
    technology = {
        "own": tools("mail", "crm"),
        "one": tools("mail", "erp", "bi"),
        "two": tools("mail", "erp"),
        "new": tools("mail"),
        "far": tools("oven"),
    }
    data = {"profile": PROFILES, "technology": technology}
    found = await compute(tmp_path, "technology_gaps", data, OWN)
    assert found["missing"] == [{"name": "erp", "peers_with": 2, "peers": 3}]
    assert found["only_here"] == ["crm"]
    alone = await compute(tmp_path, "technology_gaps", data, query_of("far", "a"))
    assert (alone["missing"], alone["only_here"]) == ([], []), "without peers there are no gaps"
    with pytest.raises(NothingKnown):
        await compute(tmp_path, "technology_gaps", {"profile": PROFILES}, OWN)


async def test_concentration_ignores_customers_without_a_share(tmp_path: Path) -> None:
    customers = [
        {"name": "A", "share_of_revenue": 10.0},
        {"name": "B", "share_of_revenue": 40.5},
        {"name": "C"},
        {"name": "D", "share_of_revenue": 5.0},
        {"name": "E", "share_of_revenue": 1.0},
    ]
    found = await compute(tmp_path, "concentration", {"customers": {"own": {"customers": customers}}}, OWN)
    assert found == {"largest": "B", "largest_percent": 40.5, "top_three_percent": 55.5, "customers": 4}
    with pytest.raises(SourceFailed, match="no customer's share"):
        await compute(tmp_path, "concentration", {"customers": {"own": {"customers": [{"name": "C"}]}}}, OWN)


def held(**expires: str) -> dict[str, Any]:
    certificates = [{"name": name, "expires": day} for name, day in expires.items()]
    return {"as_of": "2025-06-30", "certificates": certificates}


async def test_compliance_is_judged_by_the_date_of_the_data(tmp_path: Path) -> None:
    own = held(SOON="2025-12-27", LATER="2025-12-28", OVER="2025-06-29")
    own["incidents"] = [
        {"date": "2025-01-01", "title": "open one", "open": True},
        {"date": "2025-01-02", "title": "closed one"},
    ]
    compliance = {"own": own, "one": held(ISO="2030-01-01", OVER="2030-01-01"), "two": held(ISO="2020-01-01")}
    data = {"profile": PROFILES, "compliance": compliance}
    found = await compute(tmp_path, "compliance_status", data, OWN)
    assert [(entry["name"], entry["days"]) for entry in found["expiring"]] == [("OVER", -1), ("SOON", 180)]
    # The ISO of two has expired, so one of two peers holds it, which is half. OVER is no gap: own has it.
    assert found["missing"] == [{"name": "ISO", "peers_with": 1, "peers": 2}]
    assert found["open_incidents"] == ["open one"]


RELATIONS = {
    "profile": PROFILES,
    "customers": {"own": {"customers": [{"name": "Two Ltd."}]}, "two": {"customers": [{"name": "OWN"}]}},
    "partnerships": {
        "own": {"partners": [{"name": "two", "kind": "supplier"}, {"name": "Else", "kind": "reseller"}]}
    },
}


@pytest.mark.parametrize(
    ("caller", "expected"),
    [
        ("Two GmbH", {"caller_id": "two", "roles": ["customer", "supplier"], "buys_from_caller": True}),
        ("two", {"caller_id": "two", "same_industry": True, "size_ratio": 2.0, "same_company": False}),
        ("OWN inc", {"caller_id": "own", "same_company": True}),
        ("Else", {"caller_id": "", "roles": ["reseller"], "same_industry": False, "size_ratio": None}),
        ("Far", {"caller_id": "far", "roles": [], "same_industry": False, "size_ratio": 0.1}),
        ("Nobody", {"caller_id": "", "roles": [], "buys_from_caller": False}),
        ("!!!", {"caller_id": "", "roles": [], "buys_from_caller": False}),
    ],
)
async def test_relation_is_found_by_company_names(
    tmp_path: Path, caller: str, expected: dict[str, Any]
) -> None:
    found = await compute(tmp_path, "relation", RELATIONS, ResearchQuery("a", "own", "CEO", caller))
    assert {name: found[name] for name in expected} == expected


# --- invalid data -------------------------------------------------------------------------------


async def test_data_without_the_shape_names_the_field(tmp_path: Path) -> None:
    people = {"own": {"as_of": "2025-01-01", "people": [{"name": "A", "title": 3}]}}
    with pytest.raises(SourceFailed, match=r"does not have the shape people$") as caught:
        await compute(tmp_path, "contact_completeness", {"people": people}, OWN)
    assert "people[0].title" in repr(caught.value.__cause__)  # for the log


async def test_peers_need_one_file_for_all_companies(tmp_path: Path) -> None:
    (tmp_path / "own.json").write_text(json.dumps(PROFILES["own"]))
    (tmp_path / "areas.toml").write_text(
        '[datasets.each]\nshape = "profile"\nfile = "{company_id}.json"\n'
        '[datasets.x]\nfunction = "peers_in_industry"\nuses = ["each"]\n[areas.a]\ndatasets = ["x", "each"]\n'
    )
    computed, each = load_areas(tmp_path / "areas.toml", ResearchSettings(), {})["a"].datasets
    assert (await each.fetch(OWN, no_report))[0] == PROFILES["own"]
    with pytest.raises(SourceFailed, match="each is not one file with an entry for each company"):
        await computed.fetch(OWN, no_report)


def test_function_name_is_unique() -> None:
    with pytest.raises(ValueError, match="there is a source 'hiring_trend' already"):

        @register_source("hiring_trend")
        async def again(query: ResearchQuery, reader: Reader) -> None:
            """Never called."""


@register_source("functions_test_no_json")
async def no_json(_query: ResearchQuery, _reader: Reader) -> object:
    return object()


@register_source("functions_test_large")
async def large(_query: ResearchQuery, _reader: Reader) -> str:
    return "x" * 100


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("functions_test_no_json", "the value of the computation of .* must be a JSON value$"),
        ("functions_test_large", "more than 101 bytes"),
    ],
)
async def test_return_value_of_a_function_is_checked(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "areas.toml").write_text(f'[datasets.x]\nfunction = "{name}"\n[areas.a]\ndatasets = ["x"]\n')
    [dataset] = load_areas(tmp_path / "areas.toml", ResearchSettings(), {})["a"].datasets
    with pytest.raises(SourceFailed, match=message):
        await attrs.evolve(dataset, max_bytes=101).fetch(OWN, no_report)
