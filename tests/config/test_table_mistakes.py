"""Mistakes in the tables of a list: the message names the table by its index."""

from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
from click.testing import CliRunner

from streamd.cli import main
from streamd.config import (
    Clash,
    Loaded,
    SettingsError,
    load,
    one_of,
    positive,
    required,
    setting,
)
from streamd.config.convert import to_toml
from streamd.config.reference import effective_json, effective_toml, reference_text
from tests.support.loading import problems

VARIABLE = "STREAMD_LOG__RETENTION"

PATTERN = (
    "must be text on one line, without control characters, "
    "a pattern: not empty, without bidi overrides, ** only as its last segment"
)


@pytest.mark.parametrize(
    ("table", "path", "text"),
    [
        ('{pattern = "", max_events = 1}', ".pattern", f'.pattern = "" (F): {PATTERN}'),
        ('{pattern = "a/**/b", max_events = 1}', ".pattern", f'.pattern = "a/**/b" (F): {PATTERN}'),
        ('{pattern = "a\\u202eb", max_events = 1}', ".pattern", f'.pattern = "a\u202eb" (F): {PATTERN}'),
        ('{pattern = "a\\nb", max_events = 1}', ".pattern", f'.pattern = "a\\nb" (F): {PATTERN}'),
        ('{pattern = ["a"], max_events = 1}', ".pattern", f'.pattern = ["a"] (F): {PATTERN}'),
        (
            '{pattern = "a", max_age_seconds = "5"}',
            ".max_age_seconds",
            '.max_age_seconds = "5" (F): must be a number, greater than 0',
        ),
        (
            '{pattern = "a", max_age_seconds = inf}',
            ".max_age_seconds",
            ".max_age_seconds = inf (F): must be a number, greater than 0",
        ),
        (
            '{pattern = "a", max_events = 5.0}',
            ".max_events",
            ".max_events = 5.0 (F): must be a whole number, greater than 0",
        ),
        (
            '{pattern = "a", max_events = true}',
            ".max_events",
            ".max_events = true (F): must be a whole number, greater than 0",
        ),
        (
            '{pattern = "a", max_bytes = 0}',
            ".max_bytes",
            ".max_bytes = 0 (F): must be a whole number, greater than 0",
        ),
        (
            '{pattern = "a", max_bytes = {x = 1}}',
            ".max_bytes",
            ".max_bytes = {x = 1} (F): must be a whole number, greater than 0",
        ),
        (
            '{pattern = "a", max_event = 5}',
            ".max_event",
            ".max_event = 5 (F): there is no such setting; did you mean max_events?",
        ),
        (
            '{pattern = "a", "x y\\n" = 5}',
            '."x y\\n"',
            (
                '."x y\\n" = 5 (F): there is no such setting; '
                "there are pattern, max_age_seconds, max_events, max_bytes"
            ),
        ),
        ("{max_events = 5}", "", " = {max_events = 5} (F): must have pattern"),
        (
            '{pattern = "a"}',
            "",
            ' = {pattern = "a"} (F): the rule for "a" must have max_age_seconds, max_events or max_bytes',
        ),
        ("5", "", " = 5 (F): must be a table"),
        ('[{pattern = "a"}]', "", ' = [{pattern = "a"}] (F): must be a table'),
    ],
)
def test_a_mistake_in_a_table_is_named_with_its_index(file: Path, table: str, path: str, text: str) -> None:
    value = f'[{{pattern = "fine", max_events = 1}}, {table}]'
    file.write_text(f"[log]\nretention = {value}\n")
    at = "log.retention[1]"
    assert problems(file, {}, {}) == {at + path: at + text.replace("(F)", f"(in {file})")}
    assert problems(None, {VARIABLE: value}, {}) == {
        at + path: at + text.replace("(F)", f"(from {VARIABLE})")
    }


@pytest.mark.parametrize("text", ["a/**", "5", "[{pattern = a}]", '[{pattern = "a"}', "true"])
def test_a_variable_without_tables_is_rejected_as_a_whole(text: str) -> None:
    assert problems(None, {VARIABLE: text}, {}) == {
        "log.retention": f"log.retention = {to_toml(text)} (from {VARIABLE}): must be a list of tables: "
        "write [[log.retention]] above each, or [{NAME = VALUE, ...}, ...]"
    }


def test_a_single_table_in_a_file_is_told_of_the_list(file: Path) -> None:
    file.write_text('[log.retention]\npattern = "a"\n')
    assert problems(file, {}, {}) == {
        "log.retention": f'log.retention = {{pattern = "a"}} (in {file}): must be a list of tables: '
        "write [[log.retention]] above each, or [{NAME = VALUE, ...}, ...]"
    }


def test_a_misspelt_list_gets_advice(file: Path) -> None:
    file.write_text('[[log.retenton]]\npattern = "a"\n')
    assert "did you mean log.retention?" in problems(file, {}, {})["log.retenton"]


def test_all_mistakes_of_all_tables_are_reported_at_once(file: Path) -> None:
    file.write_text(
        "[log]\nmax_bytes = 0\n"
        '[[log.retention]]\npattern = "**/a"\nmax_evnts = 5\n'
        '[[log.retention]]\npattern = "a"\n'
        '[[log.retention]]\nmax_bytes = "5"\nmax_events = -1\n'
    )
    assert [*problems(file, {VARIABLE: "x"}, {"log.retention": [7]})] == [
        "log.max_bytes",
        "log.retention[0].pattern",
        "log.retention[0].max_evnts",
        "log.retention[1]",
        "log.retention[2].max_bytes",
        "log.retention[2].max_events",
        "log.retention[2]",
        "log.retention",
        "log.retention[0]",
    ]


def test_streamd_config_check_prints_the_path(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STREAMD_CONFIG", raising=False)
    text = '[[log.retention]]\npattern = "a"\nmax_bytes = 5\n'
    file.write_text(f"{text}{text.replace('= 5', '= 0')}")
    result = CliRunner().invoke(main, ["config", "check", "--config", str(file)])
    assert result.exit_code == 2
    assert f"log.retention[1].max_bytes = 0 (in {file}): must be a whole number" in result.stderr
    file.write_text(text)
    result = CliRunner().invoke(main, ["config", "check", "--config", str(file)])
    assert result.exit_code == 0
    assert f"1 setting in {file}" in result.stdout


# --- roots of other programs ----------------------------------------------------------------


@attrs.frozen
class _Source:
    """A table of another program."""

    url: str = required("URL of the source.")
    kind: str = setting("json", "Format.", one_of("json", "csv"))
    columns: list[str] = setting([], "Columns.")
    batch: int | None = setting(None, "Rows of a batch (count).", positive)


@attrs.frozen
class _Limits:
    rows: int = setting(5, "Rows (count).")


@attrs.frozen
class _Sources:
    """A section with a list of tables before a value and a group."""

    sources: list[_Source] = setting([], "Sources.")
    keys: list[_Source] = setting([], "Sources with keys.", secret=True)
    limits: _Limits = attrs.field(factory=_Limits)
    most: int = setting(1, "Maximum number of sources (count).", positive)

    def clashes(self) -> Iterator[Clash]:
        if len(self.sources) < self.most:
            yield Clash(("sources", "most"), "there are fewer sources")


@attrs.frozen
class _Program:
    feeds: _Sources = attrs.field(factory=lambda: _Sources(most=1, sources=[_Source("a")]))


def _loading(file: Path, text: str) -> list[str]:
    file.write_text(text)
    with pytest.raises(SettingsError) as refused:
        load(_Program, file, {}, {})
    return [problem.text.replace(f" (in {file})", "") for problem in refused.value.problems]


def test_any_class_can_be_the_tables_of_a_list(file: Path) -> None:
    file.write_text(
        '[feeds]\nsources = [{url = "b", kind = "csv", columns = ["x"]}, {url = "c", batch = 2}]\n'
    )
    assert load(_Program, file, {}, {}).settings.feeds.sources == [
        _Source("b", "csv", ["x"]),
        _Source("c", batch=2),
    ]
    assert _loading(file, '[[feeds.sources]]\nurl = "b"\nkind = "xml"\ncolumns = "x"\nbatch = 0\n') == [
        (
            'feeds.sources[0].kind = "xml": must be text on one line, without control characters, '
            'one of "json", "csv"'
        ),
        (
            'feeds.sources[0].columns = "x": must be a list of texts on one line, '
            'without control characters, such as ["a", "b"]'
        ),
        "feeds.sources[0].batch = 0: must be a whole number, greater than 0",
    ]


def test_a_setting_with_a_mistake_in_a_table_is_not_blamed_for_a_contradiction(file: Path) -> None:
    text = "[feeds]\nmost = 2\nsources = [{}, {}]\n"
    assert _loading(file, text) == [
        "feeds.sources[0] = {}: must have url",
        "feeds.sources[1] = {}: must have url",
    ]
    assert _loading(file, "[feeds]\nmost = 3\nsources = []\n") == [
        "feeds.sources = [], feeds.most = 3: there are fewer sources"
    ]


def test_lists_of_tables_follow_the_other_settings_of_a_table() -> None:
    text = reference_text(_Program)
    assert text.index("#most") < text.index("#sources") < text.index("[feeds.limits]")


def test_passwords_and_secret_lists_are_masked(file: Path) -> None:
    urls = [_Source("redis://user:hunter2@host/0")]
    loaded = Loaded(_Program(_Sources(sources=urls, keys=[_Source("hunter2")])), {}, None)
    for text in (effective_toml(loaded), effective_json(loaded)):
        assert "hunter2" not in text
        assert "redis://user:********@host/0" in text
    assert _loading(file, '[[feeds.keys]]\nurl = "hunter2"\nkind = "hunter2"\nkey = "hunter2"\n') == [
        (
            "feeds.keys[0].kind = ********: must be text on one line, without control characters, "
            'one of "json", "csv"'
        ),
        "feeds.keys[0].key = ********: there is no such setting; there are url, kind, columns, batch",
    ]
