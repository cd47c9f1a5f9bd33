"""Loading settings: the sources, their precedence, and groups."""

from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.config import RetrySettings, SettingsError, load, positive, setting, tuning
from streamd.config.convert import to_toml
from streamd.config.fields import Setting, settings_of, value_at
from streamd.log.settings import RetentionRule
from streamd.settings import Settings, load_settings
from tests.support.loading import EVERY_SETTING, SETTINGS


def another_value(setting: Setting) -> Any:
    """Return a valid value that is not the default, and contradicts no other default."""
    by_path = {
        "server.bind": ["127.0.0.1:9090", "[::1]:9090"],
        "server.cors_origins": ["https://app.example", "http://localhost:3000"],
        "server.trusted_proxies": ["10.0.0.0/8", "unix"],
        "server.root_path": "/realtime",
        "server.cors_headers": ["Authorization", "X-Other"],
        "server.hosts": ["events.example.org", "*.example.com:8443"],
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
        "log.retention": [
            RetentionRule(pattern="a, b/**", max_events=5),
            RetentionRule(pattern="*", max_bytes=1),
        ],
        "server.unix_mode": "0600",
        "store.url": "sqlite:other.db",
        "redis.prefix": "another",
        "redis.bridge": ["a", "merchant:*"],
        "purchase_orders.merchant_currencies": ["a=EUR", "b=USD"],
        "store.synchronous": "full",
        "connections.on_limit": "retry",
        "tuning.auth.algorithms": ["RS256"],
        "auth.jwks_url": "https://id.example/jwks",
        "auth.keys": ["HS256:one", "HS512:two"],
        "tuning.auth.revoked_tokens": ["7f3a", "7f3b"],
        "tuning.auth.revoked_users": ["ada", "eve"],
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
    if isinstance(value, list):
        return ",".join(value) if isinstance(value[0], str) else to_toml(value)
    return str(value).lower() if value in (True, False) else str(value)


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
    if setting.path == "server.proxy_protocol":
        values["server.trusted_proxies"] = another_value(SETTINGS["server.trusted_proxies"])
    if setting.path == "auth.jwks_url":
        values["auth.audience"] = "us"
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
