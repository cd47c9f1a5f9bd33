"""Settings whose value is a list of tables, such as ``[[log.retention]]``."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streamd.config import (
    Loaded,
    SettingsError,
    load,
    plan_reload,
)
from streamd.config.convert import from_text, from_value, to_toml
from streamd.config.fields import table_settings
from streamd.config.reference import effective_json, effective_toml, reference_text
from streamd.log.settings import LogSettings, RetentionRule
from streamd.settings import Settings, load_settings
from tests.support.loading import SETTINGS
from tests.support.strategies import identifiers

RULES = [
    RetentionRule(pattern="streams/**", max_age_seconds=2_592_000.0, max_events=1_000_000),
    RetentionRule(pattern="*", max_bytes=5),
]
IN_A_FILE = """\
[log]
max_events = 2_000_000

[[log.retention]]
pattern = "streams/**"
max_age_seconds = 2_592_000
max_events = 1_000_000

[[log.retention]]
pattern = "*"
max_bytes = 5

[demo]
enabled = true
"""
INLINE = (
    '[{pattern = "streams/**", max_age_seconds = 2_592_000, max_events = 1_000_000}, '
    '{pattern = "*", max_bytes = 5}]'
)
VARIABLE = "STREAMD_LOG__RETENTION"

rules = st.builds(
    RetentionRule,
    pattern=identifiers.filter(lambda text: "**" not in text),
    max_age_seconds=st.floats(min_value=0, exclude_min=True, allow_infinity=False),
    max_events=st.none() | st.integers(1, 2**63 - 1),
    max_bytes=st.none() | st.integers(1, 2**63 - 1),
)


# --- sources --------------------------------------------------------------------------------


def test_tables_are_loaded_from_a_file(file: Path) -> None:
    file.write_text(IN_A_FILE)
    loaded = load(Settings, file, {}, {})
    assert loaded.settings.log == LogSettings(max_events=2_000_000, retention=RULES)
    assert loaded.settings.demo.enabled
    assert loaded.origins["log.retention"] == f"in {file}"


@pytest.mark.parametrize("text", [f"[log]\nretention = {INLINE}\n", f"log.retention = {INLINE}\n"])
def test_inline_tables_are_loaded_from_a_file(file: Path, text: str) -> None:
    file.write_text(text)
    assert load_settings(file, {}, {}).log.retention == RULES


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (INLINE, RULES),
        (f"[\n{INLINE[1:-1]},\n]", RULES),
        ('{pattern = "*", max_bytes = 5}', RULES[1:]),
        ("[]", []),
        ("", []),
    ],
)
def test_tables_in_the_environment_are_toml(text: str, wanted: list[RetentionRule]) -> None:
    loaded = load(Settings, None, {VARIABLE: text}, {})
    assert loaded.settings.log.retention == wanted
    assert loaded.origins == {"log.retention": f"from {VARIABLE}"}


@pytest.mark.parametrize(
    "value",
    [
        RULES,
        tuple(RULES),
        tomllib.loads(f"value = {INLINE}")["value"],
        [RULES[0], {"pattern": "*", "max_bytes": 5}],
    ],
)
def test_tables_can_come_from_a_program_as_objects_or_as_dicts(value: object) -> None:
    assert load_settings(None, {}, {"log.retention": value}).log.retention == RULES


def test_a_later_source_replaces_the_whole_list(file: Path) -> None:
    file.write_text(IN_A_FILE)
    assert load_settings(file, {VARIABLE: '{pattern = "a", max_events = 1}'}, {}).log.retention == [
        RetentionRule(pattern="a", max_events=1)
    ]


def test_a_whole_number_becomes_a_float_and_missing_values_are_none() -> None:
    [rule] = load_settings(None, {VARIABLE: '{pattern = "a", max_age_seconds = 5}'}, {}).log.retention
    assert type(rule.max_age_seconds) is float
    assert (rule.max_events, rule.max_bytes) == (None, None)


@given(st.text())
@example("[{}]")
@example("[[]]")
@example("[nan]")
@example("{x = {}}")
def test_any_text_in_the_environment_is_accepted_or_rejected_by_path(text: str) -> None:
    try:
        load_settings(None, {VARIABLE: text}, {})
    except SettingsError as error:
        for problem in error.problems:
            assert problem.path is not None
            assert problem.path.startswith("log.retention")


# --- programs -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"pattern": "a/**/b", "max_events": 1}, "pattern must be a pattern: "),
        ({"pattern": "", "max_events": 1}, "pattern must be a pattern: "),
        ({"pattern": "a", "max_events": 0}, "max_events must be greater than 0, not 0"),
        ({"pattern": "a", "max_bytes": -1}, "max_bytes must be greater than 0, not -1"),
        ({"pattern": "a", "max_age_seconds": 0.0}, "max_age_seconds must be greater than 0, not 0.0"),
        ({"pattern": "a"}, 'the rule for "a" must have max_age_seconds, max_events or max_bytes'),
    ],
)
def test_a_program_cannot_make_an_invalid_rule(values: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        RetentionRule(**values)


def test_a_program_must_give_the_pattern() -> None:
    with pytest.raises(TypeError, match="pattern"):
        RetentionRule(max_events=1)


def test_settings_of_a_program_are_those_of_a_file(file: Path) -> None:
    settings = Settings(log=LogSettings(retention=RULES))
    file.write_text(effective_toml(Loaded(settings, {}, None)))
    assert load_settings(file, {}, {}) == settings


def test_the_default_is_a_list_for_each_instance() -> None:
    assert LogSettings().retention == []
    assert LogSettings().retention is not LogSettings().retention


# --- output ---------------------------------------------------------------------------------


@given(st.lists(rules, max_size=4))
def test_any_tables_round_trip_through_toml(tables: list[RetentionRule]) -> None:
    text = to_toml(tables)
    assert from_value(tomllib.loads(f"value = {text}")["value"], list[RetentionRule]) == tables
    assert from_text(text, list[RetentionRule]) == tables


@given(
    st.recursive(
        st.booleans()
        | st.integers(-(2**63) + 1, 2**63 - 1)
        | st.text(st.characters(exclude_categories=["Cs"])),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=3)
        ),
    )
)
def test_any_tables_in_tables_round_trip_through_toml(value: object) -> None:
    assert tomllib.loads(f"value = {to_toml(value)}") == {"value": value}


@given(st.lists(rules, max_size=3))
def test_any_settings_in_effect_load_to_the_same(tables: list[RetentionRule]) -> None:
    settings = Settings(log=LogSettings(retention=tables))
    shown = tomllib.loads(effective_toml(Loaded(settings, {}, None)))
    assert load_settings(None, {}, {"log.retention": shown["log"]["retention"]}) == settings
    assert json.loads(effective_json(Loaded(settings, {}, None)))["settings"]["log"] == shown["log"]


def test_the_settings_in_effect_have_the_tables_and_their_origin(file: Path) -> None:
    loaded = load(Settings, None, {VARIABLE: INLINE}, {})
    line = (
        'retention = [{pattern = "streams/**", max_age_seconds = 2_592_000.0, max_events = 1_000_000}, '
        f'{{pattern = "*", max_bytes = 5}}]  # from {VARIABLE}\n'
    )
    assert line in effective_toml(loaded)
    shown = json.loads(effective_json(loaded))
    assert shown["settings"]["log"]["retention"] == [
        {"pattern": "streams/**", "max_age_seconds": 2_592_000.0, "max_events": 1_000_000},
        {"pattern": "*", "max_bytes": 5},
    ]
    assert shown["origins"] == {"log.retention": f"from {VARIABLE}"}


EXAMPLE_LINE = re.compile(r"^#     (.*\n)", re.MULTILINE)


def test_the_example_of_the_reference_is_valid_and_has_every_setting(file: Path) -> None:
    text = "".join(EXAMPLE_LINE.findall(reference_text(Settings)))
    file.write_text(text)
    known = SETTINGS["log.retention"]
    assert load_settings(file, {}, {}).log.retention == known.example
    for each in table_settings(RetentionRule).values():
        assert f"\n{each.name} = " in text
        assert each.help in text.replace("\n# ", " ")
    assert "Required." in text


def test_the_example_may_be_used_where_it_stands(file: Path) -> None:
    file.write_text(EXAMPLE_LINE.sub(r"\1", reference_text(Settings)))
    assert load_settings(file, {}, {}).log == LogSettings(retention=SETTINGS["log.retention"].example)


# --- reload ---------------------------------------------------------------------------------


def test_changed_tables_are_reloaded() -> None:
    running, wanted = Settings(), Settings(log=LogSettings(retention=RULES))
    plan = plan_reload(running, wanted)
    assert (plan.settings, plan.applied, plan.postponed) == (wanted, ("log.retention",), ())
    assert plan_reload(wanted, running).applied == ("log.retention",)
    reordered = Settings(log=LogSettings(retention=RULES[::-1]))
    assert plan_reload(wanted, reordered).settings == reordered


def test_equal_tables_change_nothing(file: Path) -> None:
    file.write_text(IN_A_FILE)
    assert plan_reload(load_settings(file, {}, {}), load_settings(file, {}, {})).applied == ()
