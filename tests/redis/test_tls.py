"""`rediss://` logs in over TLS, and only to a server whose certificate the machine trusts."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from structlog.testing import capture_logs

from streamd.redis import RedisLink
from streamd.redis.address import parse_redis_url
from tests.support.certificates import write_authority, write_certificate
from tests.support.redis_links import open_link
from tests.support.redis_servers import RedisServer, free_port
from tests.support.waiting import until


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """Run a server that speaks TLS, and return its URL for a user whose password has a special character."""
    certificate, port = write_certificate(tmp_path), free_port()
    users = tmp_path / "users.acl"
    users.write_text("user default on nopass ~* &* +@all\nuser ann on >pass~word ~* &* +@all\n")
    server = RedisServer(
        tmp_path, 0, "--tls-port", str(port), "--tls-cert-file", certificate, "--tls-key-file", certificate,
        "--tls-ca-cert-file", write_authority(tmp_path), "--tls-auth-clients", "no", "--aclfile", str(users),
    )  # fmt: skip
    server.start()
    try:
        yield f"rediss://ann:pass~word@127.0.0.1:{port}/3"
    finally:
        server.kill()


async def test_a_trusted_server_is_used_as_the_user_of_the_url(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", write_authority(tmp_path))
    with trio.fail_after(20):
        async with open_link(RedisLink(parse_redis_url(url, "log.url", {}), "test")) as link:
            assert await link.call(b"ACL", b"WHOAMI") == b"ann"
            assert b"db=3" in await link.call(b"CLIENT", b"INFO")


async def test_a_server_whose_certificate_is_not_trusted_is_not_used(url: str) -> None:
    link = RedisLink(parse_redis_url(url, "log.url", {}), "test")
    with capture_logs() as logs:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(link.run)
            await until(lambda: any(line["event"] == "redis_unreachable" for line in logs))
            assert not link.connected.is_set()
            nursery.cancel_scope.cancel()
