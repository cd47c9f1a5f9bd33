"""The checks of a server: its version, its policy when memory is full, its persistence."""

from pathlib import Path

import pytest
import structlog.testing

from streamd.errors import ConfigError
from streamd.redis import RedisLink
from streamd.redis.address import RedisAddress
from streamd.redis.checks import check_server
from tests.support.fake_redis import FakeRedis, Replies, bulk, fake_redis, mapping
from tests.support.redis_links import open_link
from tests.support.redis_nodes import own_server


def replies(version: str, policy: str = "noeviction", appendonly: str = "yes") -> Replies:
    settings = {"maxmemory-policy": policy, "appendonly": appendonly, "save": ""}

    def reply(arguments: list[bytes]) -> bytes:
        if arguments[0] == b"INFO":
            return bulk(f"# Server\r\nredis_version:{version}\r\n")
        name = arguments[-1].decode()
        return mapping(**{name.replace("-", "_"): settings[name]})

    return reply


async def find_mistake(server: FakeRedis) -> ConfigError | None:
    async with open_link(RedisLink(server.address, "test")) as link:
        try:
            await check_server(link, "log.url")
        except ConfigError as error:
            return error
    return None


@pytest.mark.parametrize("version", ["7.0.0", "7.4.2", "8.0.1", "10.0.0"])
async def test_versions_that_are_new_enough(version: str) -> None:
    async with fake_redis(replies(version)) as server:
        assert await find_mistake(server) is None


@pytest.mark.parametrize(("version", "shown"), [("6.2.14", "6.2.14"), ("", "unknown"), ("x", "x")])
async def test_versions_that_are_refused(version: str, shown: str) -> None:
    async with fake_redis(replies(version)) as server:
        error = await find_mistake(server)
    assert error is not None
    assert error.field == "log.url"
    assert "Redis 7 or later" in str(error)
    assert shown in str(error)


async def test_a_policy_that_drops_keys_is_refused_with_the_command_that_corrects_it(tmp_path: Path) -> None:
    with own_server(tmp_path, "--maxmemory-policy", "allkeys-lru") as server:
        async with open_link(RedisLink(server.address, "test")) as link:
            with pytest.raises(ConfigError, match="allkeys-lru") as caught:
                await check_server(link, "log.url")
            command = str(caught.value).partition("`redis-cli ")[2].partition("`")[0]
            server.command(*command.split())
            await check_server(link, "log.url")


async def test_a_user_without_config_is_warned_and_served(tmp_path: Path) -> None:
    with own_server(tmp_path) as server:
        server.command("ACL", "SETUSER", "ann", "on", ">secret", "~*", "+@all", "-config")
        address = RedisAddress(path=str(server.socket), username="ann", password="secret")
        with structlog.testing.capture_logs() as lines:
            async with open_link(RedisLink(address, "test")) as link:
                await check_server(link, "log.url")
    assert [line["event"] for line in lines if line["log_level"] == "warning"] == ["redis_not_checked"]


@pytest.mark.parametrize(("appendonly", "expected"), [("yes", []), ("no", ["redis_may_lose_events"])])
async def test_a_server_that_keeps_nothing_on_disk_is_warned_of(appendonly: str, expected: list[str]) -> None:
    async with fake_redis(replies("7.0.0", appendonly=appendonly)) as server:
        with structlog.testing.capture_logs() as lines:
            assert await find_mistake(server) is None
    assert [line["event"] for line in lines if line["log_level"] == "warning"] == expected
