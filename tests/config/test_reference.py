"""The reference file matches the declarations, and output never has secrets."""

import json
import re
import tomllib
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.config import Loaded, load
from streamd.config.convert import to_toml
from streamd.config.fields import positive, setting, settings_of
from streamd.config.reference import effective_json, effective_toml, reference_text
from streamd.settings import Settings, load_settings

SETTINGS = settings_of(Settings)
REFERENCE = Path(__file__).parents[2] / "conf/streamd.toml"


def test_the_committed_file_is_the_generated_one() -> None:
    assert REFERENCE.read_text() == reference_text(Settings), "run `make reference`"


def test_uncommenting_every_line_of_the_reference_gives_the_defaults(tmp_path: Path) -> None:
    uncommented = re.sub(r"^#(?=\w)", "", REFERENCE.read_text(), flags=re.MULTILINE)
    file = tmp_path / "all.toml"
    file.write_text(uncommented)
    loaded = load(Settings, file, {}, {})
    assert loaded.settings == Settings()
    assert set(loaded.origins) == set(SETTINGS)


def test_the_reference_without_a_change_sets_nothing() -> None:
    loaded = load(Settings, REFERENCE, {}, {})
    assert loaded.settings == Settings()
    assert not loaded.origins


@pytest.mark.parametrize("path", SETTINGS)
def test_every_setting_has_sentences_and_a_unit(path: str) -> None:
    known = SETTINGS[path]
    assert known.help.endswith((".", "name.")), "help is made of sentences"
    assert f"#{known.name} = {to_toml(known.default)}\n" in reference_text(Settings)
    # The name carries the unit; the help repeats it in parentheses for readers of the file.
    units = {"_seconds": "s", "_ms": "ms", "_bytes": "bytes"}
    for suffix, unit in units.items():
        if known.name.endswith(suffix):
            assert re.search(rf"\({unit}\b", known.help)
            break
    else:
        if known.type is int:
            assert "(count" in known.help


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_round_trips_through_toml(text: str) -> None:
    assert tomllib.loads(f"value = {to_toml([text])}") == {"value": [text]}


@given(st.integers(-(2**63) + 1, 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False), st.booleans())
def test_any_number_round_trips_through_toml(whole: int, number: float, truth: bool) -> None:
    for value in (whole, number, truth):
        read = tomllib.loads(f"value = {to_toml(value)}")["value"]
        assert read == value
        assert type(read) is type(value)


def test_the_effective_settings_load_to_the_same(tmp_path: Path) -> None:
    loaded = load(Settings, None, {"STREAMD_SERVER__BIND": "[::1]:0", "STREAMD_DEMO__TOPIC": 'a"b\\ # c'}, {})
    file = tmp_path / "shown.toml"
    file.write_text(effective_toml(loaded))
    assert load_settings(file, {}, {}) == loaded.settings
    assert 'bind = ["[::1]:0"]  # from STREAMD_SERVER__BIND\n' in file.read_text()
    assert file.read_text().count("#") == 3  # the two origins, and the one in the topic


@attrs.frozen
class _Vault:
    """A section with secrets."""

    key: str = setting("", "A key.", secret=True)
    urls: list[str] = setting([], "URLs (count).")
    tries: int = setting(3, "Tries (count).", positive)


@attrs.frozen
class _WithSecrets:
    vault: _Vault = attrs.field(factory=_Vault)


@pytest.mark.parametrize("show", [effective_toml, effective_json])
def test_secrets_are_masked(show: object) -> None:
    assert callable(show)
    urls = ["redis://user:hunter2@host/0", "redis://:hunter2@host", "https://host/a:b@c"]
    settings = _WithSecrets(_Vault(key="hunter2", urls=urls))
    text = show(Loaded(settings, {}, None))
    assert "hunter2" not in text
    assert "********" in text
    assert "redis://user:********@host/0" in text
    assert "https://host/a:b@c" in text


def test_an_empty_secret_is_shown_empty() -> None:
    text = effective_json(Loaded(_WithSecrets(), {}, None))
    assert json.loads(text)["settings"]["vault"] == {"key": "", "urls": [], "tries": 3}


def test_the_reference_has_bounds() -> None:
    assert "# Tries (count). Must be greater than 0.\n#tries = 3\n" in reference_text(_WithSecrets)
