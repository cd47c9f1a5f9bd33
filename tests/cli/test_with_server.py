"""The commands and the server together, as in the README."""

import json
import signal
from base64 import b64decode
from pathlib import Path

import pytest
import trustme

from tests.support.program import Program, run, started

ADDRESS = "streamd is listening on "


async def address(server: Program) -> str:
    line = await server.line()
    assert line.startswith(ADDRESS)
    return line.removeprefix(ADDRESS).split()[0]


@pytest.mark.parametrize(
    "transport",
    ["sse", pytest.param("websocket", marks=pytest.mark.soak), pytest.param("poll", marks=pytest.mark.soak)],
)
async def test_lines_reach_two_subscribers_and_a_restart_is_a_gap(transport: str) -> None:
    options = ("--topic", "logs", "--transport", transport, "--after", "earliest")
    quickly = {"STREAMD_SERVER__DRAIN_SECONDS": "0.5"}
    lines = [f"line {number}" for number in range(1000)]
    async with started("serve", "--bind", "127.0.0.1:0", **quickly) as server:
        url = await address(server)
        async with (
            started("subscribe", "--url", url, *options) as first,
            started("subscribe", "--url", url, *options) as second,
        ):
            text = "\n".join(lines)
            assert (await run("publish", "--url", url, "--topic", "logs", input=text)).returncode == 0
            assert await first.lines(1000) == lines
            assert await second.lines(1000) == lines

            server.signal(signal.SIGTERM)
            assert await server.ended() == 0
            async with started("publish", "--url", url, "--topic", "logs") as publisher:
                await publisher.write("written while the server is away\n")
                await publisher.end_of_input()
                await publisher.says("waiting for")
                async with started("serve", "--bind", url.removeprefix("http://")) as server_again:
                    assert await address(server_again) == url
                    assert await publisher.ended() == 0
                    for subscriber in (first, second):
                        assert "no longer kept" in await subscriber.says("gap")
                        assert await subscriber.line() == "written while the server is away"


@pytest.mark.parametrize("transport", ["sse", "websocket", "poll"])
async def test_the_bytes_of_a_file_reach_a_subscriber_as_base64(tmp_path: Path, transport: str) -> None:
    path = tmp_path / "image"
    path.write_bytes(bytes(range(256)))
    async with started("serve", "--bind", "127.0.0.1:0") as server:
        at = ("--url", await address(server), "--topic", "t")
        published = await run("publish", *at, "--file", str(path))
        assert (published.returncode, published.stderr) == (0, "")
        options = ("--transport", transport, "--after", "earliest", "-n", "1", "-o", "json")
        shown = json.loads((await run("subscribe", *at, *options)).stdout)
    assert (shown["id"] + "\n", shown["encoding"]) == (published.stdout, "base64")
    assert b64decode(shown["data"]) == path.read_bytes()


async def test_a_killed_subscriber_resumes_at_its_cursor(tmp_path: Path) -> None:
    place = ("--cursor-file", str(tmp_path / "place"))
    async with started("serve", "--bind", "127.0.0.1:0") as server:
        url = await address(server)
        subscribe = ("subscribe", "--url", url, "--topic", "logs", "--after", "earliest", *place)
        text = "".join(f"{number}\n" for number in range(500))
        assert (await run("publish", "--url", url, "--topic", "logs", input=text)).returncode == 0
        printed = (await run(*subscribe, "--count", "123")).stdout
        printed += (await run(*subscribe, "--count", "200")).stdout
        printed += (await run(*subscribe, "--count", "177")).stdout
    assert printed == text


@pytest.mark.parametrize("options", [("--http2",), ("--transport", "websocket"), ("--transport", "poll")])
async def test_the_commands_work_over_tls(tmp_path: Path, options: tuple[str, ...]) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    certificate.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    certificate.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    files = ("--certfile", str(tmp_path / "cert.pem"), "--keyfile", str(tmp_path / "key.pem"))
    async with started("serve", "--bind", "127.0.0.1:0", *files) as server:
        url = (await address(server)).replace("127.0.0.1", "localhost")
        at = ("--url", url, "--topic", "t")
        trusting = (*at, "--cacert", str(tmp_path / "ca.pem"))
        published = await run("publish", *trusting, "--http2", "hello")
        assert (published.returncode, published.stderr) == (0, "")
        received = await run("subscribe", *trusting, *options, "--after", "earliest", "-n", "1", "-o", "ids")
        assert received.stdout == published.stdout
        refused = await run("subscribe", *at, *options)
        assert refused.returncode == 1
        assert "CERTIFICATE_VERIFY_FAILED" in refused.stderr
