"""Settings that are right each by itself and impossible together, and texts of a certain form."""

from typing import Any

import attrs
import pytest

from streamd.config import SettingsError, check_settings, parse_bind
from streamd.server.settings import ServerSettings
from streamd.settings import Settings, load_settings


def refusal(overrides: dict[str, object]) -> SettingsError:
    with pytest.raises(SettingsError) as caught:
        load_settings(None, {}, overrides)
    return caught.value


@pytest.mark.parametrize(
    ("overrides", "field", "says"),
    [
        ({"server.certfile": "a.pem"}, "server.certfile", "set server.keyfile too"),
        ({"server.keyfile": "a.pem"}, "server.keyfile", "set server.certfile too"),
        (
            {"tuning.connections.unhealthy_seconds": 121.0},
            "tuning.connections.unhealthy_seconds",
            "unhealthy before it is stale",
        ),
        ({"connections.stale_seconds": 29.0}, "connections.stale_seconds", "unhealthy before it is stale"),
        (
            {"connections.stale_seconds": 29.0},
            "connections.stale_seconds",
            "tuning.connections.unhealthy_seconds = 30.0 (default)",
        ),
        (
            {"tuning.text.retry.backoff_seconds": 9.0},
            "tuning.text.retry.backoff_seconds",
            "not be more than tuning.text.retry.max_wait_seconds",
        ),
        (
            {"tuning.connections.max_heartbeat_seconds": 0.5},
            "tuning.connections.max_heartbeat_seconds",
            "clients choose between them",
        ),
        (
            {"tuning.poll.wait_seconds": 56.0},
            "tuning.poll.wait_seconds",
            "not be more than poll.max_wait_seconds",
        ),
        ({"tuning.hub.batch_events": 4097}, "tuning.hub.batch_events", "the ring must hold a whole turn"),
        ({"tuning.hub.ring_events": 255}, "tuning.hub.ring_events", "the ring must hold a whole turn"),
        ({"log.topic_max_bytes": 1_048_575}, "log.topic_max_bytes", "a topic must hold the largest event"),
        ({"events.max_event_bytes": 33_554_433}, "events.max_event_bytes", "a topic must hold"),
        ({"log.topic_max_events": 100_001}, "log.topic_max_events", "not be more than log.max_events"),
        (
            {"tuning.hub.max_lag_events": 100_001},
            "tuning.hub.max_lag_events",
            "not be more than log.max_events",
        ),
        ({"log.url": "redis://localhost"}, "log.url", "memory:"),
        ({"store.url": "streamd.db"}, "store.url", "sqlite:PATH"),
        ({"store.url": "sqlite:"}, "store.url", "sqlite:PATH"),
        ({"text.url": "https://api.example/v1"}, "text.url", "text.model"),
        ({"text.url": "api.example", "text.model": "m"}, "text.url", "http://"),
        ({"server.bind": ["localhost"]}, "server.bind", "write HOST:PORT"),
        ({"server.bind": ["a:1", "a:1"]}, "server.bind", "named twice"),
        ({"server.cors_origins": ["*", "https://a.example"]}, "server.cors_origins", "name it alone"),
        ({"demo.follow_topic": "files/{nmae}"}, "demo.follow_topic", "{name} is the only thing"),
        ({"demo.follow_topic": "files/{"}, "demo.follow_topic", "{name} is the only thing"),
        ({"demo.follow_topic": "files/{name!r:>9}"}, "demo.follow_topic", "{name} is the only thing"),
    ],
)
def test_impossible(overrides: dict[str, object], field: str, says: str) -> None:
    error = refusal(overrides)
    assert error.field == field
    assert says in error.detail
    assert f"{field} = " in error.detail
    assert "(from a flag)" in error.detail
    assert len({problem.text for problem in error.problems}) == len(error.problems)


def test_the_log_as_a_whole_must_hold_the_largest_event() -> None:
    error = refusal({"log.max_bytes": 1_048_575})
    assert error.field == "log.max_bytes"
    assert (
        "events.max_event_bytes = 1_048_576 (default), log.max_bytes = 1_048_575 (from a flag)"
        in error.detail
    )


@pytest.mark.parametrize(
    "overrides",
    [
        {"server.certfile": "a.pem", "server.keyfile": "b.pem"},
        {"tuning.connections.unhealthy_seconds": 120.0},
        {"tuning.poll.wait_seconds": 55.0},
        {"tuning.hub.batch_events": 1024},
        {"log.topic_max_bytes": 1_048_576},
        {"tuning.hub.max_lag_events": 100_000, "log.topic_max_events": 100_000},
        {"server.bind": ["localhost:0", "localhost:0"]},
        {"server.cors_origins": ["*"]},
        {"demo.follow_topic": "logs"},
        {"demo.follow_topic": "{{{name}}}"},
    ],
)
def test_possible(overrides: dict[str, object]) -> None:
    load_settings(None, {}, overrides)


def test_no_address_to_listen_on_is_refused() -> None:
    with pytest.raises(SettingsError, match="at least one address"):
        load_settings(None, {"STREAMD_SERVER__BIND": ""}, {})


def test_a_setting_with_a_wrong_value_is_not_refused_twice() -> None:
    error = refusal({"connections.stale_seconds": 0, "tuning.connections.unhealthy_seconds": 500.0})
    assert [problem.path for problem in error.problems] == ["connections.stale_seconds"]


def test_settings_that_a_program_makes_are_checked_the_same_way() -> None:
    check_settings(Settings())
    with pytest.raises(SettingsError, match="write HOST:PORT") as caught:
        check_settings(Settings(server=ServerSettings(bind=["here"])))
    assert caught.value.field == "server.bind"
    with pytest.raises(ValueError, match="backlog must be greater than 0, not 0"):
        ServerSettings(backlog=0)


def test_settings_do_not_share_their_lists_and_do_not_change() -> None:
    one, other = Settings(), Settings()
    assert one.server.bind is not other.server.bind
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        one.server.backlog = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("127.0.0.1:8080", ("127.0.0.1", 8080)),
        ("localhost:0", ("localhost", 0)),
        ("[::1]:65535", ("::1", 65535)),
        ("[::]:80", ("::", 80)),
    ],
)
def test_addresses_to_listen_on(text: str, wanted: tuple[str, int]) -> None:
    assert parse_bind(text) == wanted


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("localhost", "HOST:PORT"),
        ("", "HOST:PORT"),
        (":8080", "write the host too"),
        ("[]:8080", "write the host too"),
        ("::1:8080", "brackets"),
        ("localhost:", "port"),
        ("localhost:http", "port"),
        ("localhost:65536", "port"),
        ("localhost:-1", "port"),
        ("localhost:٣", "port"),
        ("http://localhost:80", "IPv6 address in brackets|host must be"),
        ("a b:80", "host must be"),
        ("unix:/run/streamd.sock", "port"),
    ],
)
def test_addresses_that_are_none(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_bind(text)


@pytest.mark.parametrize(
    "origin",
    [
        "https://app.example",
        "http://localhost:3000",
        "https://[::1]:8443",
        "http://127.0.0.1",
        "https://xn--bcher-kva.example",
    ],
)
def test_origins(origin: str) -> None:
    assert load_settings(None, {}, {"server.cors_origins": [origin]}).server.cors_origins == [origin]


@pytest.mark.parametrize(
    ("origin", "says"),
    [
        ("https://app.example/", "browsers send https://app.example"),
        ("https://App.Example", "browsers send https://app.example"),
        ("https://app.example:443", "browsers send https://app.example"),
        ("http://app.example:80/path", "browsers send http://app.example"),
        ("app.example", "write it like"),
        ("null", "write it like"),
        ("ftp://app.example", "write it like"),
        ("https://*.app.example", "write it like"),
        ("https://user@app.example", "write it like"),
        ("https://app.example:99999", "write it like"),
        ("https://bücher.example", "write it like"),
        ("https://", "write it like"),
        ("https://[::1", "write it like"),
        ("", "write it like"),
    ],
)
def test_origins_that_no_browser_sends(origin: str, says: str) -> None:
    error = refusal({"server.cors_origins": [origin]})
    assert error.field == "server.cors_origins"
    assert says in error.detail


def test_several_wrong_texts_in_one_list_are_all_named() -> None:
    binds: Any = ["one", "two"]
    detail = refusal({"server.bind": binds}).detail
    assert '"one" is no address' in detail
    assert '"two" is no address' in detail
