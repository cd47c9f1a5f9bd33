"""`streamd config`, and the answer of every command to an invalid configuration."""

import json
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from streamd.cli import main
from streamd.config.reference import reference_text
from streamd.settings import Settings


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STREAMD_CONFIG", raising=False)


def run(*arguments: str, **environ: str) -> Result:
    return CliRunner().invoke(main, ["config", *arguments], env=environ)


def test_check_accepts_the_defaults() -> None:
    result = run("check")
    assert result.exit_code == 0
    assert result.stdout == "The configuration is valid: every setting has its default.\n"
    assert not result.stderr


def test_check_counts_settings_by_source(tmp_path: Path) -> None:
    file = tmp_path / "streamd.toml"
    file.write_text("[server]\ndrain_seconds = 1\n[tuning.server]\nbacklog = 5\n")
    result = run("check", "--config", str(file), STREAMD_LOGGING__LEVEL="debug")
    assert result.exit_code == 0
    assert f"1 setting from the environment, 2 settings in {file}" in result.stdout


def test_check_prints_every_problem_on_standard_error(tmp_path: Path) -> None:
    file = tmp_path / "streamd.toml"
    file.write_text('[tuning.server]\nbacklog = "8"\n')
    tuning = {"STREAMD_TUNING__HUB__TURN_MS": "soon", "STREAMD_TUNING__HUB__TURM_MS": "2"}
    result = run("check", STREAMD_CONFIG=str(file), **tuning)
    assert result.exit_code == 2
    assert not result.stdout
    assert f'tuning.server.backlog = "8" (in {file}): must be a whole number' in result.stderr
    assert (
        'tuning.hub.turn_ms = "soon" (from STREAMD_TUNING__HUB__TURN_MS): must be a number' in result.stderr
    )
    assert "did you mean STREAMD_TUNING__HUB__TURN_MS?" in result.stderr
    assert "Traceback" not in result.output


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    result = run("check", "--config", str(tmp_path / "none.toml"))
    assert result.exit_code == 2
    assert "none.toml: the file cannot be read: No such file or directory" in result.stderr


def test_show_prints_toml_with_origins() -> None:
    result = run("show", STREAMD_SERVER__BIND="127.0.0.1:9,[::1]:9")
    assert result.exit_code == 0
    assert 'bind = ["127.0.0.1:9", "[::1]:9"]  # from STREAMD_SERVER__BIND\n' in result.stdout
    assert tomllib.loads(result.stdout)["server"]["bind"] == ["127.0.0.1:9", "[::1]:9"]


def test_show_prints_json() -> None:
    result = run("show", "--json", STREAMD_TUNING__SERVER__BACKLOG="9")
    shown = json.loads(result.stdout)
    assert shown["settings"]["tuning"]["server"]["backlog"] == 9
    assert shown["origins"] == {"tuning.server.backlog": "from STREAMD_TUNING__SERVER__BACKLOG"}


def test_reference_prints_the_reference() -> None:
    result = run("reference")
    assert result.exit_code == 0
    assert result.stdout == reference_text(Settings)


def test_an_unknown_command_is_an_error() -> None:
    result = CliRunner().invoke(main, ["sevre"])
    assert result.exit_code == 2
    assert "sevre" in result.stderr
