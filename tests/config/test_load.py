"""Loading settings: precedence of the sources, and the message for each mistake."""

from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.config import RetrySettings, SettingsError, load, positive, setting, tuning
from streamd.config.fields import Setting, settings_of, value_at
from streamd.settings import Settings, load_settings

SETTINGS = settings_of(Settings)
EVERY_SETTING = pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "streamd.toml"


def problems(*arguments: Any) -> dict[str | None, str]:
    """Load, and return the problems by path."""
    with pytest.raises(SettingsError) as caught:
        load_settings(*arguments)
    assert caught.value.field == caught.value.problems[0].path
    assert caught.value.detail.splitlines() == [problem.text for problem in caught.value.problems]
    found = {problem.path: problem.text for problem in caught.value.problems}
    assert len(found) == len(caught.value.problems)
    return found


def another_value(setting: Setting) -> Any:
    """Return a valid value that is not the default, and contradicts no other default."""
    by_path = {
        "server.bind": ["127.0.0.1:9090", "[::1]:9090"],
        "server.cors_origins": ["https://app.example", "http://localhost:3000"],
        "server.certfile": "cert.pem",
        "server.keyfile": "key.pem",
        "logging.level": "debug",
        "logging.format": "json",
        "demo.follow": ["/var/log/syslog", "other.log"],
        "demo.follow_topic": "lines/{name}",
        "demo.topic": "8",
        "log.url": "memory:",
        "tuning.connections.lifetime_jitter": 0.25,
        "connections.stale_seconds": 240.0,
        "tuning.connections.unhealthy_seconds": 15.0,
        "tuning.hub.ring_events": 8192,
        "log.max_events": 200_000,
        "store.url": "sqlite:other.db",
        "purchase_orders.merchant_currencies": ["a=EUR", "b=USD"],
        "store.synchronous": "full",
        "text.url": "https://api.example/v1",
        "text.api_key": "another-key",
        "purchase_orders.default_currency": "EUR",
        "purchase_orders.default_merchant": "another",
        "purchase_orders.sync_url": "https://shop.example/orders",
        "purchase_orders.sync_token": "another-token",
    }
    if setting.path in by_path:
        return by_path[setting.path]
    if setting.type is str and not setting.checks:
        return "other"
    if setting.type is bool:
        return not setting.default
    if setting.type is float:
        return setting.default / 2 + 1
    assert setting.type is int, f"{setting.path}: give this test a value for {setting.type}"
    return setting.default // 2 + 1


def as_variable(value: Any) -> str:
    return (
        ",".join(value)
        if isinstance(value, list)
        else str(value).lower()
        if value in (True, False)
        else str(value)
    )


# --- precedence -----------------------------------------------------------------------------


def test_without_any_source_every_setting_has_its_default() -> None:
    assert load_settings(None, {}, {}) == Settings()


def test_flags_override_the_environment_which_overrides_the_file(file: Path) -> None:
    file.write_text(
        "[server]\ndrain_seconds = 1\nkeep_alive_seconds = 1\n[tuning.server]\nbacklog = 1\n"
        "[research.stream]\nheartbeat_seconds = 1\n"
    )
    environ = {"STREAMD_SERVER__DRAIN_SECONDS": "2", "STREAMD_SERVER__KEEP_ALIVE_SECONDS": "2"}
    loaded = load(Settings, file, environ, {"server.keep_alive_seconds": 3})
    server, stream = loaded.settings.server, loaded.settings.research.stream
    assert (server.backlog, server.drain_seconds, server.keep_alive_seconds) == (1, 2, 3)
    assert server.grace_seconds == Settings().server.grace_seconds
    assert (stream.heartbeat_seconds, stream.max_lifetime_seconds) == (1, 0)
    assert loaded.origins == {
        "tuning.server.backlog": f"in {file}",
        "research.stream.heartbeat_seconds": f"in {file}",
        "server.drain_seconds": "from STREAMD_SERVER__DRAIN_SECONDS",
        "server.keep_alive_seconds": "from a flag",
    }


def test_a_given_path_overrides_streamd_config(file: Path, tmp_path: Path) -> None:
    file.write_text("[tuning.server]\nbacklog = 7\n")
    other = tmp_path / "other.toml"
    other.write_text("[tuning.server]\nbacklog = 8\n")
    assert load_settings(None, {"STREAMD_CONFIG": str(file)}, {}).server.backlog == 7
    assert load_settings(other, {"STREAMD_CONFIG": str(file)}, {}).server.backlog == 8


def test_a_file_is_read_only_when_named(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("[tuning.server]\nbacklog = 7\n")
    monkeypatch.chdir(file.parent)
    assert load_settings(None, {"STREAMD_CONFIG": ""}, {}) == Settings()


def test_missing_flags_change_nothing() -> None:
    assert load_settings(None, {}, {"server.bind": (), "log.url": None}) == Settings()
    assert load_settings(None, {}, {"server.bind": ("[::1]:0",)}).server.bind == ["[::1]:0"]


def with_another_value(setting: Setting) -> dict[str, Any]:
    """Return another value of a setting by its path, and those that it needs."""
    values = {setting.path: another_value(setting)}
    if setting.path in ("server.certfile", "server.keyfile"):  # they only come together
        values = {path: another_value(SETTINGS[path]) for path in ("server.certfile", "server.keyfile")}
    if setting.path == "text.url":  # the API needs to be told a model
        values["text.model"] = "a-model"
    return values


@EVERY_SETTING
def test_every_setting_can_come_from_the_environment(setting: Setting) -> None:
    values = with_another_value(setting)
    environ = {SETTINGS[path].variable: as_variable(value) for path, value in values.items()}
    got = value_at(load_settings(None, environ, {}), setting.attribute)
    assert got == values[setting.path]
    assert type(got) is type(setting.default)


@EVERY_SETTING
def test_every_setting_can_come_from_a_flag(setting: Setting) -> None:
    values = with_another_value(setting)
    assert value_at(load_settings(None, {}, values), setting.attribute) == values[setting.path]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("127.0.0.1:1,[::1]:2", ["127.0.0.1:1", "[::1]:2"]),
        (" a:1 , b:2, ", ["a:1", "b:2"]),
        ('["a:1", "b:2"]', ["a:1", "b:2"]),
        ('"a:1"', ["a:1"]),
        ("[::1]:0", ["[::1]:0"]),
    ],
)
def test_lists_in_the_environment_may_be_toml_or_separated_by_commas(text: str, wanted: list[str]) -> None:
    assert load_settings(None, {"STREAMD_SERVER__BIND": text}, {}).server.bind == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("8", "8"), ("true", "true"), ('"in quotes"', "in quotes"), ("a # b", "a # b"), ("", "")],
)
def test_texts_in_the_environment_stay_texts(text: str, wanted: str) -> None:
    assert load_settings(None, {"STREAMD_DEMO__FOLLOW_TOPIC": text}, {}).demo.follow_topic == wanted


@pytest.mark.parametrize(
    "path", ["store.url", "server.bind", "demo.follow", "demo.topic", "research.areas_file", "logging.level"]
)
@pytest.mark.parametrize("text", ["a\x00b", "a\nb", "\x1b[31m", "a\u2028b"])
def test_a_text_with_control_characters_is_refused_by_the_name_of_its_setting(path: str, text: str) -> None:
    setting = settings_of(Settings)[path]
    value: object = text if setting.type is str else ["fine", text]
    with pytest.raises(SettingsError) as refused:
        load_settings(None, {}, {path: value})
    assert refused.value.field == path
    assert "without control characters" in refused.value.detail


@pytest.mark.parametrize("topic", ["", "a\u202eb"])
def test_the_topic_of_the_load_is_a_topic(topic: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings(None, {}, {"demo.topic": topic})
    assert refused.value.field == "demo.topic"


@given(st.text())
def test_any_text_in_the_environment_is_accepted_or_rejected_by_path(text: str) -> None:
    for path in (
        "server.bind",
        "tuning.server.backlog",
        "server.drain_seconds",
        "demo.enabled",
        "demo.topic",
    ):
        rejected = path
        try:
            load_settings(None, {SETTINGS[path].variable: text}, {})
        except SettingsError as error:
            rejected = error.field or "nothing"
        assert rejected == path


# --- rejections ---------------------------------------------------------------------------

# For each type, values that resemble it.
WRONG: dict[Any, list[str]] = {
    int: ['"8"', "8.0", "true", "[8]", "nan", "{a = 1}", "9223372036854775808", "1979-05-27"],
    float: ['"8"', "true", "[8.0]", "nan", "inf", "-inf"],
    bool: ['"true"', "1", "0", "[true]"],
    str: ["8", "true", '["a"]', "{}"],
    list[str]: ['"a:1"', "8", "[8]", '["a:1", 8]', '[["a:1"]]', "{}"],
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


# --- groups -----------------------------------------------------------------------------------


def test_a_group_is_loaded_from_every_source(file: Path) -> None:
    file.write_text(
        "[tuning.purchase_orders.retry]\nattempts = 2\n[purchase_orders]\nstream.max_connections = 3\n"
    )
    environ = {"STREAMD_TUNING__PURCHASE_ORDERS__RETRY__BACKOFF_SECONDS": "0.25"}
    flags = {"tuning.purchase_orders.retry.max_wait_seconds": 9}
    section = load_settings(file, environ, flags).purchase_orders
    assert section.retry == RetrySettings(attempts=2, backoff_seconds=0.25, max_wait_seconds=9)
    assert section.stream.max_connections == 3
    assert section.stream.heartbeat_seconds == Settings().purchase_orders.stream.heartbeat_seconds


def test_a_group_has_the_defaults_of_its_section() -> None:
    settings = Settings()
    assert settings.sentiment.stream.heartbeat_seconds == 30
    assert settings.research.stream.heartbeat_seconds == 15
    assert load_settings(None, {"STREAMD_SENTIMENT__STREAM__MAX_CONNECTIONS": "7"}, {}).sentiment.stream == (
        attrs.evolve(settings.sentiment.stream, max_connections=7)
    )


# --- roots of other programs --------------------------------------------------------------------


@attrs.frozen
class _Importer:
    """A section of another program."""

    folder: str = setting("", "Folder of the files.")
    rows: int = tuning(100, "Rows of a batch (count).", positive)


@attrs.frozen
class _Program:
    importer: _Importer = attrs.field(factory=_Importer)


def test_any_root_class_can_be_loaded(file: Path) -> None:
    file.write_text('[importer]\nfolder = "in"\n[tuning.importer]\nrows = 5\n')
    assert load(_Program, file, {}, {}).settings == _Program(_Importer("in", 5))
    file.write_text("[server]\n")
    with pytest.raises(SettingsError, match="there are importer"):
        load(_Program, file, {}, {})
