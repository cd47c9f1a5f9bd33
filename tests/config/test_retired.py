"""Settings of the first release: each is valid, or rejected with its new path or a reason."""

import tomllib
from pathlib import Path
from typing import Any, Final

import attrs
import pytest

from streamd.config import SettingsError, load, setting, tuning
from streamd.config.fields import settings_of
from streamd.config.retired import removed_from
from streamd.settings import Settings
from tests.support.settings_of_0_1_0 import SETTINGS_OF_0_1_0

CURRENT = settings_of(Settings)
EVERY_OLD_SETTING = pytest.mark.parametrize("path", SETTINGS_OF_0_1_0)


def outcome(
    file: Path | None = None, environ: dict[str, str] | None = None, flags: dict[str, Any] | None = None
) -> list[str]:
    """Load, and return the texts of the problems."""
    try:
        load(Settings, file, environ or {}, flags or {})
    except SettingsError as error:
        return [problem.text for problem in error.problems]
    return []


def check(path: str, problems: list[str], *, variable: bool = False) -> None:
    """Check that an old path is valid, or rejected with the new path or the reason of its removal."""
    if path in CURRENT:
        assert problems == []
        return
    [text] = problems
    assert text.startswith(f"{path} = ")
    if path in removed_from(Settings):
        assert f"{path} was removed: " in text
    else:
        _, _, new = text.partition(f"{path} is now ")
        new, _, name = new.partition(": set ")
        assert new in CURRENT
        assert name == (CURRENT[new].variable if variable else "")
        assert CURRENT[new].section == path.partition(".")[0]


def test_the_first_release_had_195_settings() -> None:
    assert len(SETTINGS_OF_0_1_0) == 195


@EVERY_OLD_SETTING
def test_every_old_path_is_valid_or_explained_in_a_file(path: str, tmp_path: Path) -> None:
    file = tmp_path / "streamd.toml"
    section, name = path.split(".")
    file.write_text(f"[{section}]\n{name} = {SETTINGS_OF_0_1_0[path]}\n")
    check(path, outcome(file))


@EVERY_OLD_SETTING
def test_every_old_path_is_valid_or_explained_in_the_environment(path: str) -> None:
    variable = "STREAMD_" + path.replace(".", "__").upper()
    value = SETTINGS_OF_0_1_0[path]
    check(path, outcome(environ={variable: value}), variable=True)


@EVERY_OLD_SETTING
def test_every_old_path_is_valid_or_explained_as_a_flag(path: str) -> None:
    value = tomllib.loads(f"value = {SETTINGS_OF_0_1_0[path]}")["value"]
    check(path, outcome(flags={path: value}))


CHANGED: Final = {
    "log.url": "",  # the log is where the store is: in memory, or in its file
    "hub.max_turn_ms": 5.0,  # half of the time on slow cores, too
    "server.gc_threshold": 2_000,  # a collection holds the event loop for a third of the time
}


@EVERY_OLD_SETTING
def test_no_default_has_changed_without_a_reason(path: str) -> None:
    was = tomllib.loads(f"value = {SETTINGS_OF_0_1_0[path]}")["value"]
    if path in CURRENT:
        assert CURRENT[path].default == CHANGED.get(path, was)
    elif path not in removed_from(Settings):
        [text] = outcome(flags={path: was})
        assert CURRENT[text.rpartition(" is now ")[2]].default == CHANGED.get(path, was)


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("hub.turn_ms", "hub.turn_ms is now tuning.hub.turn_ms"),
        ("tasks.gone_seconds", "tasks.gone_seconds is now tasks.tombstone_seconds"),
        ("text.attempts", "text.attempts is now tuning.text.retry.attempts"),
        ("research.heartbeat_seconds", "is now research.stream.heartbeat_seconds"),
        ("purchase_orders.merchant_claim", "was removed: streamd reads no tokens yet"),
    ],
)
def test_the_message_names_the_successor_or_the_reason(path: str, says: str) -> None:
    [text] = outcome(flags={path: 1})
    assert text.startswith(f"{path} = 1 (from a flag): ")
    assert says in text


def test_the_message_names_the_variable_where_a_variable_was_set() -> None:
    [text] = outcome(environ={"STREAMD_HUB__TURN_MS": "1"})
    assert text == (
        'hub.turn_ms = "1" (from STREAMD_HUB__TURN_MS): '
        "hub.turn_ms is now tuning.hub.turn_ms: set STREAMD_TUNING__HUB__TURN_MS"
    )


def test_at_most_102_settings_are_outside_tuning() -> None:
    assert sum(not each.tuning for each in CURRENT.values()) <= 102


@attrs.frozen
class _Safe:
    """A section with a secret that has another name than before."""

    renamed = {"password": "key"}  # noqa: RUF012 - a test's class

    key: str = setting("", "A key.", secret=True)
    tries: int = tuning(3, "Tries (count).")


@attrs.frozen
class _Root:
    safe: _Safe = attrs.field(factory=_Safe)


@pytest.mark.parametrize("path", ["safe.password", "safe.kye", "save.key"])
def test_a_secret_under_a_wrong_name_is_not_shown(path: str) -> None:
    with pytest.raises(SettingsError, match=r"safe\.key") as caught:
        load(_Root, None, {}, {path: "hunter2"})
    assert "hunter2" not in caught.value.detail
