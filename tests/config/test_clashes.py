"""Settings that are valid alone and contradict each other, and texts that need a certain form."""

from collections.abc import Iterator
from typing import Any

import attrs
import pytest

from streamd.config import Clash, SettingsError, check_settings, load, setting
from streamd.server.settings import ServerSettings
from streamd.settings import Settings, load_settings


def rejection(overrides: dict[str, object]) -> SettingsError:
    with pytest.raises(SettingsError) as caught:
        load_settings(None, {}, overrides)
    return caught.value


@pytest.mark.parametrize(
    ("overrides", "field", "says"),
    [
        ({"server.certfile": "a.pem"}, "server.certfile", "set server.keyfile, too"),
        ({"server.keyfile": "a.pem"}, "server.keyfile", "set server.certfile, too"),
        ({"server.proxy_protocol": True}, "server.proxy_protocol", "no connection would be accepted"),
        ({"server.trusted_proxies": ["10.0.0.1/8"]}, "server.trusted_proxies", "write 10.0.0.0/8"),
        ({"server.trusted_proxies": ["unix", "localhost"]}, "server.trusted_proxies", '"localhost" is not'),
        ({"server.root_path": "/"}, "server.root_path", "a path such as /realtime"),
        ({"server.root_path": "realtime"}, "server.root_path", "a path such as /realtime"),
        ({"server.root_path": "/a/"}, "server.root_path", "a path such as /realtime"),
        ({"server.root_path": "//a"}, "server.root_path", "a path such as /realtime"),
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
        ({"log.url": "mysql://localhost"}, "log.url", "memory:"),
        ({"store.url": "streamd.db"}, "store.url", "sqlite:PATH"),
        ({"store.url": "sqlite:"}, "store.url", "sqlite:PATH"),
        ({"text.url": "https://api.example/v1"}, "text.url", "text.model"),
        ({"text.url": "api.example", "text.model": "m"}, "text.url", "an http or https URL"),
        ({"server.bind": ["localhost"]}, "server.bind", "write HOST:PORT"),
        ({"server.bind": ["a:1", "a:1"]}, "server.bind", "listed twice"),
        ({"server.cors_origins": ["*", "https://a.example"]}, "server.cors_origins", "list it alone"),
        (
            {"tuning.auth.algorithms": ["RS256", "none"]},
            "tuning.auth.algorithms",
            "none is not supported; there are HS256",
        ),
        ({"tuning.auth.algorithms": ["hs256"]}, "tuning.auth.algorithms", "hs256 is not supported"),
        ({"tuning.auth.algorithms": []}, "tuning.auth.algorithms", "no token could be verified"),
        (
            {"auth.jwks_url": "https://id.example/jwks", "tuning.auth.algorithms": ["HS256"]},
            "auth.jwks_url",
            "keys from a URL are public",
        ),
        (
            {"auth.jwks_url": "http://id.example/jwks"},
            "auth.jwks_url",
            "an https URL; http only on localhost",
        ),
        ({"auth.jwks_url": "https://id.example/jwks"}, "auth.jwks_url", "name the audience"),
        ({"auth.jwks_url": "http://127.0.0.1.example/"}, "auth.jwks_url", "an https URL"),
        ({"auth.jwks_url": "https://a:b@id.example/"}, "auth.jwks_url", "without a password"),
        (
            {"server.cors_origins": ["*"], "server.cors_credentials": True},
            "server.cors_credentials",
            "list the origins",
        ),
        ({"server.cors_headers": ["X Other"]}, "server.cors_headers", "is not the name of a header"),
        ({"server.cors_headers": [""]}, "server.cors_headers", "is not the name of a header"),
        ({"server.hosts": ["*", "a.example"]}, "server.hosts", "list it alone"),
        ({"server.hosts": ["https://a.example"]}, "server.hosts", "write it like"),
        ({"server.hosts": ["a.example/"]}, "server.hosts", "write it like"),
        ({"server.hosts": ["a.example:port"]}, "server.hosts", "write it like"),
        ({"server.hosts": ["a.example:99999"]}, "server.hosts", "write it like"),
        ({"server.hosts": ["::1"]}, "server.hosts", "write it like"),
        ({"server.hosts": ["a.*.example"]}, "server.hosts", "write it like"),
        ({"server.hosts": ["*.*.example"]}, "server.hosts", "write it like"),
        ({"server.hosts": ["*example.org"]}, "server.hosts", "write it like"),
        ({"server.hosts": ["user@a.example"]}, "server.hosts", "write it like"),
        ({"server.hosts": [""]}, "server.hosts", "write it like"),
        ({"demo.follow_topic": "files/{nmae}"}, "demo.follow_topic", "{name} is its only placeholder"),
        ({"demo.follow_topic": "files/{"}, "demo.follow_topic", "{name} is its only placeholder"),
        ({"demo.follow_topic": "files/{name!r:>9}"}, "demo.follow_topic", "{name} is its only placeholder"),
    ],
)
def test_contradictions_are_rejected(overrides: dict[str, object], field: str, says: str) -> None:
    error = rejection(overrides)
    assert error.field == field
    assert says in error.detail
    assert f"{field} = " in error.detail
    assert "(from a flag)" in error.detail
    assert len({problem.text for problem in error.problems}) == len(error.problems)


def test_the_message_names_both_settings_and_their_sources() -> None:
    error = rejection({"log.max_bytes": 1_048_575})
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
        {
            "auth.jwks_url": "https://id.example/jwks",
            "auth.audience": "us",
            "tuning.auth.algorithms": ["HS256", "EdDSA"],
        },
        {"auth.jwks_url": "http://localhost:8080/jwks", "auth.audience": "us"},
        {"auth.jwks_url": "http://127.0.0.2:8080/jwks", "auth.audience": "us"},
        {"auth.jwks_url": "http://[::1]:8080/jwks", "auth.audience": "us"},
        {"server.cors_origins": ["https://a.example"], "server.cors_credentials": True},
        {"server.hosts": ["*"]},
        {
            "server.hosts": [
                "A.example",
                "b.example:8080",
                "*.c.example",
                "*.d.example:80",
                "[::1]:80",
                "[::1]",
            ]
        },
        {"demo.follow_topic": "logs"},
        {"demo.follow_topic": "{{{name}}}"},
    ],
)
def test_settings_at_the_edge_of_a_contradiction_are_accepted(overrides: dict[str, object]) -> None:
    load_settings(None, {}, overrides)


def test_an_empty_list_of_addresses_is_rejected() -> None:
    with pytest.raises(SettingsError, match="at least one address"):
        load_settings(None, {"STREAMD_SERVER__BIND": ""}, {})


def test_a_setting_with_a_wrong_value_is_reported_once() -> None:
    error = rejection({"connections.stale_seconds": 0, "tuning.connections.unhealthy_seconds": 500.0})
    assert [problem.path for problem in error.problems] == ["connections.stale_seconds"]


def test_settings_made_by_a_program_are_checked_the_same_way() -> None:
    check_settings(Settings())
    with pytest.raises(SettingsError, match="write HOST:PORT") as caught:
        check_settings(Settings(server=ServerSettings(bind=["here"])))
    assert caught.value.field == "server.bind"
    with pytest.raises(ValueError, match="backlog must be greater than 0, not 0"):
        ServerSettings(backlog=0)


def test_settings_are_immutable_and_do_not_share_lists() -> None:
    one, other = Settings(), Settings()
    assert one.server.bind is not other.server.bind
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        one.server.backlog = 1  # type: ignore[misc]


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
def test_origins_as_browsers_send_them_are_accepted(origin: str) -> None:
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
def test_other_forms_of_an_origin_are_rejected_with_the_right_one(origin: str, says: str) -> None:
    error = rejection({"server.cors_origins": [origin]})
    assert error.field == "server.cors_origins"
    assert says in error.detail


def test_every_wrong_text_in_a_list_is_reported() -> None:
    binds: Any = ["one", "two"]
    detail = rejection({"server.bind": binds}).detail
    assert '"one" is not an address' in detail
    assert '"two" is not an address' in detail


@attrs.frozen
class _Locked:
    """A section whose secret contradicts another setting."""

    password: str = setting("", "A password.", secret=True)
    user: str = setting("", "A user.")

    def clashes(self) -> Iterator[Clash]:
        if self.password and not self.user:
            yield Clash(("password", "user"), "set both")


@attrs.frozen
class _Root:
    locked: _Locked = attrs.field(factory=_Locked)


def test_a_secret_is_masked_in_a_contradiction() -> None:
    with pytest.raises(SettingsError) as caught:
        load(_Root, None, {}, {"locked.password": "hunter2"})
    assert caught.value.detail == (
        'locked.password = ******** (from a flag), locked.user = "" (default): set both'
    )
