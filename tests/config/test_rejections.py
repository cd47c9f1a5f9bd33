"""Settings that are refused: the message names the setting, the source and the valid values."""

from pathlib import Path
from typing import Any

import pytest

from streamd.config.fields import Setting, value_at
from streamd.log.settings import RetentionRule
from streamd.settings import Settings, load_settings
from tests.support.loading import EVERY_SETTING, SETTINGS, problems

# For each type, values that resemble it.
WRONG: dict[Any, list[str]] = {
    int: ['"8"', "8.0", "true", "[8]", "nan", "{a = 1}", "9223372036854775808", "1979-05-27"],
    float: ['"8"', "true", "[8.0]", "nan", "inf", "-inf"],
    bool: ['"true"', "1", "0", "[true]"],
    str: ["8", "true", '["a"]', "{}"],
    list[str]: ['"a:1"', "8", "[8]", '["a:1", 8]', '[["a:1"]]', "{}"],
    list[RetentionRule]: ['"a"', "8", "true", '{pattern = "a", max_events = 1}'],
}


@EVERY_SETTING
def test_every_wrong_type_in_a_file_is_rejected_by_path(setting: Setting, file: Path) -> None:
    for value in WRONG[setting.type]:
        file.write_text(f"[{setting.table}]\n{setting.name} = {value}\n")
        [(path, text)] = problems(file, {}, {}).items()
        assert path == setting.path
        assert text.startswith(f"{setting.path} = ")
        assert f"(in {file}): must be " in text


# The same for texts in the environment; any text is one of a setting of text.
WRONG_TEXTS: dict[Any, list[str]] = {
    int: ["eight", "8.0", "true", '"8"', ""],
    float: ["x", "nan", "inf", "true", ""],
    bool: ["1", "yes", "TRUE", ""],
}


@pytest.mark.parametrize(
    "setting", [pytest.param(each, id=path) for path, each in SETTINGS.items() if each.type in WRONG_TEXTS]
)
def test_every_wrong_type_in_the_environment_is_rejected_by_path(setting: Setting) -> None:
    for text in WRONG_TEXTS[setting.type]:
        [(path, said)] = problems(None, {setting.variable: text}, {}).items()
        assert path == setting.path
        assert f"(from {setting.variable}): must be " in said


def edges_of(setting: Setting, says: str) -> tuple[Any, Any] | None:
    """Return the value next to a bound that is refused, and one that is accepted; None if it is no bound.

    The accepted one is None where it would contradict other settings.
    """
    step = 1 if setting.type is int else 0.0001
    if says == "greater than 0":
        return 0, None
    if says == "0 or more":
        return -step, setting.type(0)
    if says.startswith("at most "):
        bound = setting.type(says.removeprefix("at most "))
        return bound + step, bound
    if says.startswith("at least "):
        bound = setting.type(says.removeprefix("at least "))
        return bound - step, bound
    if says.startswith("one of "):
        return "neither", None
    assert setting.type not in (int, float), f"{setting.path}: give this test the edge of {says!r}"
    return None


EDGES = [
    pytest.param(setting, *edges, id=f"{path} {check.says}")
    for path, setting in SETTINGS.items()
    for check in setting.checks
    if (edges := edges_of(setting, check.says)) is not None
]


@pytest.mark.parametrize(("setting", "refused", "accepted"), EDGES)
def test_every_bound_holds_at_its_edge(setting: Setting, refused: Any, accepted: Any) -> None:
    assert setting.path in problems(None, {}, {setting.path: refused})
    if accepted is not None:
        loaded = load_settings(None, {}, {setting.path: accepted})
        assert value_at(loaded, setting.attribute) == accepted


def test_the_message_has_the_value_its_source_and_the_valid_values() -> None:
    assert problems(None, {"STREAMD_TUNING__SERVER__BACKLOG": "many"}, {}) == {
        "tuning.server.backlog": 'tuning.server.backlog = "many" (from STREAMD_TUNING__SERVER__BACKLOG): '
        "must be a whole number, greater than 0, at most 2_147_483_647"
    }


def test_a_whole_number_is_accepted_for_a_float() -> None:
    assert load_settings(None, {}, {"server.drain_seconds": 3}).server.drain_seconds == 3.0


def test_all_problems_are_reported_at_once(file: Path) -> None:
    file.write_text('[tuning.server]\nbacklog = "8"\n[nowhere]\n[tuning.poll]\nwait_seconds = 99\n')
    environ = {"STREAMD_TUNING__HUB__TURN_MS": "0", "STREAMD_TUNING__HUB__TURNS": "1"}
    found = problems(file, environ, {"tuning.events.max_topic_bytes": -1})
    assert [*found] == [
        "tuning.server.backlog",
        "nowhere",
        "tuning.hub.turns",
        "tuning.hub.turn_ms",
        "tuning.events.max_topic_bytes",
        "tuning.poll.wait_seconds",
    ]


def test_a_wrong_value_is_rejected_even_if_a_flag_overrides_it(file: Path) -> None:
    file.write_text("[tuning.server]\nbacklog = true\n")
    assert "tuning.server.backlog" in problems(file, {}, {"tuning.server.backlog": 5})


@pytest.mark.parametrize(
    ("text", "path", "advice"),
    [
        ("[server]\nbakclog = 1\n", "server.bakclog", "did you mean tuning.server.backlog?"),
        ("[tuning.server]\nbidn = []\n", "tuning.server.bidn", "did you mean server.bind?"),
        ("[poll]\nmax_lag_events = 1\n", "poll.max_lag_events", "did you mean tuning.hub.max_lag_events?"),
        ("backlog = 1\n", "backlog", "did you mean tuning.server.backlog?"),
        ("[research]\nstream = 1\n", "research.stream", "write [research.stream]"),
        ("[research.streams]\n", "research.streams", "did you mean [research.stream]?"),
        ("[tuning]\nhub = 1\n", "tuning.hub", "write [tuning.hub]"),
        ("[tuning.hup]\nturn_ms = 1\n", "tuning.hup", "did you mean [tuning.hub]?"),
        ("[logs]\nmax_events = 1\n", "logs", "did you mean [log]?"),
        ("[research.stream.heartbeat_seconds]\n", "research.stream.heartbeat_seconds", "must be a number"),
        ("[servers]\nbacklog = 1\n", "servers", "did you mean [server]?"),
        ("[zzz]\n", "zzz", "there are server, log, events"),
        ("[server]\nzzz = 1\n", "server.zzz", "streamd config reference"),
        ("server = 1\n", "server", "write [server]"),
    ],
)
def test_unknown_names_in_a_file_get_advice(file: Path, text: str, path: str, advice: str) -> None:
    file.write_text(text)
    [(field, said)] = problems(file, {}, {}).items()
    assert field == path
    assert advice in said


@pytest.mark.parametrize(
    ("variable", "path", "advice"),
    [
        ("STREAMD_SERVER__BIMD", "server.bimd", "did you mean STREAMD_SERVER__BIND?"),
        ("STREAMD_server__bind", "server.bind", "did you mean STREAMD_SERVER__BIND?"),
        ("STREAMD_LOGS__URL", "logs.url", "did you mean STREAMD_LOG__URL?"),
        ("STREAMD__", "_", "there is no such setting"),
    ],
)
def test_unknown_names_in_the_environment_get_advice(variable: str, path: str, advice: str) -> None:
    [(field, said)] = problems(None, {variable: "x"}, {}).items()
    assert field == path
    assert variable in said
    assert advice in said


def test_variables_of_other_programs_are_ignored() -> None:
    environ = {
        "STREAMD_PORT": "tcp://10.0.0.1:80",
        "STREAMD_SERVICE_HOST": "10.0.0.1",
        "PATH": "/bin",
        "A__B": "c",
    }
    assert load_settings(None, environ, {}) == Settings()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"[server", "not valid TOML"),
        (b"[tuning.server]\nbacklog = 1\nbacklog = 2\n", "not valid TOML"),
        (b"[server]\nbacklog = " + b"9" * 5000, "not valid TOML"),
        (b"x = " + b"[" * 100_000, "not valid TOML"),
        (b"# \xff\n", "not UTF-8 (byte 2)"),
    ],
)
def test_a_file_that_is_not_toml_is_rejected(file: Path, content: bytes, says: str) -> None:
    file.write_bytes(content)
    found = problems(file, {"STREAMD_TUNING__SERVER__BACKLOG": "0"}, {})
    assert says in found[None]
    assert str(file) in found[None]
    assert "tuning.server.backlog" in found


def test_an_unreadable_file_is_rejected(tmp_path: Path) -> None:
    assert "No such file" in problems(tmp_path / "missing.toml", {}, {})[None]
    assert "Is a directory" in problems(tmp_path, {}, {})[None]


def test_numbers_too_long_to_print_are_rejected_and_cut(file: Path) -> None:
    file.write_text("[tuning.server]\nbacklog = 0x" + "f" * 8000 + "\n")
    assert len(problems(file, {}, {})["tuning.server.backlog"]) < 300 + len(str(file))
