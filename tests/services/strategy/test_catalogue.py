"""The catalogue: recognition of channels, goals and audiences, and the validation of its files."""

from pathlib import Path

import pytest

from streamd.config import load_tables
from streamd.errors import ConfigError
from streamd.services.strategy.catalogue import (
    AUDIENCES,
    CHANNELS,
    GOALS,
    SECTIONS,
    GoalKind,
    Section,
    load_catalogue,
    load_channels,
)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Google Ads", "search advertising"),
        ("google", "search and content"),
        ("LinkedIn Ads", "paid social"),
        ("LinkedIn", "professional network"),
        ("X", "social media"),
        ("Xylophones", "other"),
        ("PR", "press"),
        ("Print", "print and outdoor"),
        ("E-Mail", "email"),
        ("E\u2011Mail", "email"),  # a non-breaking hyphen
        ("Ｇｏｏｇｌｅ&nbsp;Ads", "search advertising"),
        ("Linked\u00adIn", "professional network"),
        ("Carrier pigeons", "other"),
    ],
)
def test_channels_are_recognised(name: str, kind: str) -> None:
    assert CHANNELS.recognise(name).name == kind


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Win more qualified leads", "leads"),
        ("More repeat customers", "retention"),
        ("Sell more tickets", "sales"),
        ("Hire five engineers", "hiring"),
        ("Brand recognition", "awareness"),
        ("Become better", "other"),
    ],
)
def test_goals_are_recognised(text: str, kind: str) -> None:
    assert GOALS.recognise(text).name == kind


def test_audiences_are_recognised_in_the_order_of_the_text() -> None:
    assert [one.name for one in AUDIENCES.recognise_all("Students, and managers nearby")] == [
        "young",
        "business",
        "local",
    ]
    assert AUDIENCES.recognise_all("Nobody in particular") == (AUDIENCES.fallback,)


def test_every_section_is_a_step_with_a_purpose() -> None:
    assert [section.purpose for section in SECTIONS] == [f"strategy.{section.name}" for section in SECTIONS]


GOOD = """
[sales]
words = ["sale"]
result = "order"
results = "orders"
counted = "paid orders"
early_sign = "baskets"
message = "the price"
proof = "ratings"
"""
FALLBACK = GOOD.replace("[sales]", "[other]").replace('["sale"]', "[]")
CHANNEL = """
[flyers]
words = []
role = "reaches a place"
first = "print"
rhythm = "monthly"
figure = "codes used"
lead_weeks = 4
fit = { sales = 5 }
"""


def test_catalogue_file_is_read_in_its_order(tmp_path: Path) -> None:
    file = tmp_path / "goals.toml"
    file.write_text(GOOD + GOOD.replace("[sales]", "[orders]") + FALLBACK)
    catalogue = load_catalogue(file, GoalKind)
    assert [entry.name for entry in catalogue.entries] == ["sales", "orders"]
    assert catalogue.recognise("SALES").name == "sales"
    assert catalogue.recognise("wholesale").name == "other"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[sales", "end of document"),
        ("sales = 7\n" + FALLBACK, "[sales]: "),
        (GOOD.replace('"order"', "7") + FALLBACK, "[sales]: Expected `str`, got `int` - at `$.result`"),
        (GOOD.replace('"order"', '""') + FALLBACK, "[sales]: Expected `str` of length >= 1 - at `$.result`"),
        (GOOD.replace('["sale"]', '"sale"') + FALLBACK, "at `$.words`"),
        (GOOD.replace('["sale"]', '["Sale"]') + FALLBACK, "at `$.words[0]`"),
        (GOOD.replace('proof = "ratings"', "") + FALLBACK, "[sales]: Object missing required field `proof`"),
        (GOOD + "extra = 1\n" + FALLBACK, "[sales]: Object contains unknown field `extra`"),
        (GOOD, "exactly one table must have no words"),
        (FALLBACK + FALLBACK.replace("[other]", "[rest]"), "there is [other], [rest]"),
    ],
)
def test_invalid_catalogue_names_file_table_and_key(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "goals.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_catalogue(file, GoalKind)
    assert str(file) in caught.value.detail
    assert complaint in caught.value.detail


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("sales = 5", "sales = 6", "[flyers]: Expected `int` <= 5 - at `$.fit[...]`"),
        ("sales = 5", "fame = 5", "[flyers]: fit names an unknown goal 'fame'"),
        ("lead_weeks = 4", "lead_weeks = 0", "[flyers]: Expected `int` >= 1 - at `$.lead_weeks`"),
    ],
)
def test_invalid_channel_names_file_table_and_key(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    file = tmp_path / "channels.toml"
    file.write_text(CHANNEL.replace(old, new))
    with pytest.raises(ConfigError) as caught:
        load_channels(file, GOALS)
    assert f"{file}: {complaint}" in caught.value.detail


def test_invalid_section_names_file_table_and_key(tmp_path: Path) -> None:
    file = tmp_path / "sections.toml"
    file.write_text('[start]\ntitle = "Start"\ndoing = "Starting"\nbrief = "Begin."\nwords = "many"\n')
    with pytest.raises(ConfigError) as caught:
        load_tables(file, Section)
    assert f"{file}: [start]: Expected `int`, got `str` - at `$.words`" in caught.value.detail
