"""Every form of a Redis URL; each mistake names the setting and shows no password."""

import pytest

from streamd.errors import ConfigError
from streamd.redis.address import RedisAddress, is_redis_url, parse_redis_url


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://host", RedisAddress(hosts=[("host", 6379)])),
        ("redis://host:1234/5", RedisAddress(hosts=[("host", 1234)], database=5)),
        ("redis://[::1]:1234/", RedisAddress(hosts=[("::1", 1234)])),
        ("redis://:secret@host", RedisAddress(hosts=[("host", 6379)], password="secret")),
        (
            "rediss://ann:s%23cr%40t@host",
            RedisAddress(hosts=[("host", 6379)], username="ann", password="s#cr@t", tls=True),
        ),
        ("redis+unix:///run/redis.sock", RedisAddress(path="/run/redis.sock")),
        (
            "redis+unix://ann:secret@/run/redis.sock?db=3",
            RedisAddress(path="/run/redis.sock", database=3, username="ann", password="secret"),
        ),
        ("redis+sentinel://host/main", RedisAddress(hosts=[("host", 26379)], service="main")),
        (
            "rediss+sentinel://:secret@one:1,two:2/main/4",
            RedisAddress(
                hosts=[("one", 1), ("two", 2)], service="main", database=4, password="secret", tls=True
            ),
        ),
    ],
)
def test_form(url: str, expected: RedisAddress) -> None:
    assert is_redis_url(url)
    address = parse_redis_url(url, "log.url", {})
    assert address == expected
    assert "secret" not in str(address)
    assert "secret" not in repr(address)


@pytest.mark.parametrize(
    ("environment", "password"),
    [
        ({"REDIS_URL": "redis://host"}, ""),
        ({"REDIS_URL": "", "UPSTASH_REDIS_URL": "redis://host"}, ""),
        ({"UPSTASH_REDIS_URL": "redis://host", "UPSTASH_REDIS_TOKEN": "token"}, "token"),
        ({"UPSTASH_REDIS_URL": "redis://:own@host", "UPSTASH_REDIS_TOKEN": "token"}, "own"),
    ],
)
def test_url_of_the_environment(environment: dict[str, str], password: str) -> None:
    assert is_redis_url("redis:")
    expected = RedisAddress(hosts=[("host", 6379)], password=password)
    assert parse_redis_url("redis:", "log.url", environment) == expected


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://:secret@host", "the scheme is 'http'"),
        ("redis://:secret@", "the host is missing"),
        ("redis://:secret@host:99999", "ort"),
        ("redis://:secret@host:x", "ort"),
        ("redis://:secret@host/x", "the number of a database"),
        ("redis://:secret@host/-1", "the number of a database"),
        ("redis://:secret@host/1/2", "more than the number of a database"),
        ("redis://:secret@one,two", "several hosts are for sentinels only"),
        ("redis://:secret@host?db=1", "an unknown parameter"),
        ("redis://:secret@host#part", "%23"),
        ("redis+unix://:secret@run/redis.sock", "begins with a slash"),
        ("redis+unix://:secret@/run/redis.sock?db=x", "the number of a database"),
        ("redis+unix://:secret@/run/redis.sock?other=1", "an unknown parameter"),
        ("redis+sentinel://:secret@host", "the name of the service is missing"),
        ("redis+sentinel://:secret@host/main/1/2", "more than the number of a database"),
        ("redis+sentinel://:secret@one,,two/main", "the host is missing"),
        ("redis://[:secret@host", "log.url"),
    ],
)
def test_mistake_names_the_setting_and_shows_no_password(url: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_redis_url(url, "log.url", {})
    error = caught.value
    assert error.field == "log.url"
    assert reason in str(error)
    assert "log.url" in str(error)
    shown: BaseException | None = error
    while shown is not None:
        assert "secret" not in str(shown)
        shown = shown.__cause__


def test_missing_variable_is_named() -> None:
    with pytest.raises(ConfigError, match="neither REDIS_URL nor UPSTASH_REDIS_URL is set"):
        parse_redis_url("redis:", "log.url", {})


def test_mistake_in_a_variable_names_the_variable() -> None:
    with pytest.raises(ConfigError, match=r"^REDIS_URL"):
        parse_redis_url("redis:", "log.url", {"REDIS_URL": "redis://:secret@"})


@pytest.mark.parametrize("url", ["memory:", "sqlite:redis", "redisx://host", "redis", ""])
def test_other_urls_are_none_of_redis(url: str) -> None:
    assert not is_redis_url(url)
