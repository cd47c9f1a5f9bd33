"""The parts of ``conf/examples/compose.yaml`` and its Dockerfile, each run without containers."""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import attrs
import httpx
import pytest
import trio
import yaml  # type: ignore[import-untyped]

from streamd.cli.serve import serve
from streamd.server.files import SPARE_FILES
from streamd.settings import Settings
from streamd.startup import prepare_start
from tests.support.fronts import EXAMPLES, HAPROXY, free_ports, proxying
from tests.support.program import ROOT
from tests.support.server_process import ServerProcess, server_process

COMPOSE: Final = EXAMPLES / "compose.yaml"
SERVICES: Final[dict[str, dict[str, Any]]] = yaml.safe_load(COMPOSE.read_text())["services"]
NODES: Final = {name: service for name, service in SERVICES.items() if name.startswith("node")}
DOCKERFILE: Final = re.sub(r"\\\n\s*", "", (EXAMPLES / "Dockerfile").read_text())
SHARED: Final = ("STREAMD_LOG__URL", "STREAMD_STORE__URL")


def instructions(name: str) -> list[str]:
    """Return the arguments of each instruction of that name in the Dockerfile."""
    return re.findall(rf"^{name} (.*)$", DOCKERFILE, re.MULTILINE)


def environment_without_redis(environ: Mapping[str, str]) -> dict[str, str]:
    """Replace the URLs of Redis, which this version of streamd does not know yet.

    With a log in Redis, this function goes: the nodes then run with the URL of :func:`redis_server`, and a
    test shows that an event published at one node arrives at the others.
    """
    return {**environ, **dict.fromkeys(SHARED, "memory:")}


@attrs.frozen
class RedisServer:
    """A Redis that answers.

    Attributes:
        url: for streamd.
        port: of the loopback interface.
    """

    port: int

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    async def setting(self, name: str) -> str:
        """Return the effective value of a setting (CONFIG GET, RESP2)."""
        async with await trio.open_tcp_stream("127.0.0.1", self.port) as stream:
            await stream.send_all(f"CONFIG GET {name}\r\n".encode())
            answer = b""
            while answer.count(b"\r\n") < 5:
                part = await stream.receive_some()
                assert part, answer
                answer += part
        return answer.split(b"\r\n")[4].decode()


@asynccontextmanager
async def redis_server(folder: Path) -> AsyncIterator[RedisServer]:
    """Run the command of the compose file on a free loopback port, with its files in ``folder``."""
    [port] = free_ports(1)
    command = [
        *SERVICES["redis"]["command"],
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--dir",
        str(folder),
    ]
    process = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        log = b""
        with trio.fail_after(30):
            while b"Ready to accept connections" not in log:
                part = await process.stdout.receive_some()
                assert part, log.decode()
                log += part
        yield RedisServer(port)
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
        await trio.aclose_forcefully(process.stdout)


def test_there_are_three_nodes_a_redis_and_a_front() -> None:
    assert set(SERVICES) == {"node1", "node2", "node3", "redis", "front"}


@pytest.mark.parametrize("name", NODES)
def test_the_command_and_the_settings_of_a_node_are_those_of_streamd(name: str) -> None:
    node = NODES[name]
    command, *arguments = node["command"]
    [entrypoint] = instructions("ENTRYPOINT")
    assert json.loads(entrypoint) == ["streamd"]
    assert command == serve.name
    options = serve.make_context(command, arguments).params
    [bind] = options["bind"]
    environ = node["environment"]
    for variable in SHARED:
        url = urlsplit(environ[variable])
        assert (url.scheme, url.port, url.path) == ("redis", 6379, "/0")
        assert url.hostname in SERVICES
        assert url.hostname in node["depends_on"]
    overrides = {"server.bind": ["127.0.0.1:0"]}  # everything else as on the command line
    settings = prepare_start(None, environment_without_redis(environ), overrides).settings
    assert settings.logging.format == environ["STREAMD_LOGGING__FORMAT"]
    [target] = {
        value.rpartition(":")[2]
        for variable, value in SERVICES["front"]["environment"].items()
        if value.startswith(f"{name}:") and variable == f"STREAMD_{name.upper()}"
    }
    assert target == bind.rpartition(":")[2], "the front connects to the port that the node listens on"


def test_the_limits_of_a_node_fit_the_defaults_of_streamd() -> None:
    settings = Settings()
    stop_seconds = settings.server.drain_seconds + settings.server.grace_seconds
    for node in NODES.values():
        assert int(node["stop_grace_period"].removesuffix("s")) > stop_seconds
        assert node["ulimits"]["nofile"] >= settings.connections.max_connections + SPARE_FILES


async def test_redis_takes_its_options_and_loses_nothing_by_eviction(tmp_path: Path) -> None:
    async with redis_server(tmp_path) as redis:
        assert await redis.setting("appendonly") == "yes"
        assert await redis.setting("appendfsync") == "everysec"
        assert await redis.setting("maxmemory-policy") == "noeviction"
        assert int(await redis.setting("maxmemory")) == 2**30
    [volume] = SERVICES["redis"]["volumes"]
    assert volume.partition(":")[0] in yaml.safe_load(COMPOSE.read_text())["volumes"]


async def test_the_front_is_the_haproxy_example_with_its_variables(tmp_path: Path) -> None:
    front = SERVICES["front"]
    [mount] = front["volumes"]
    assert (COMPOSE.parent / mount.partition(":")[0]).resolve() == HAPROXY.path
    assert set(front["depends_on"]) == set(NODES)
    [port] = free_ports(1)
    async with server_process() as node:
        addresses = dict.fromkeys(front["environment"], f"127.0.0.1:{node.port}")
        environ = {**addresses, "STREAMD_FRONT": f"127.0.0.1:{port}"}
        log = tmp_path / "haproxy.log"
        command = [HAPROXY.command, *HAPROXY.run(str(HAPROXY.path), tmp_path)]
        url = f"http://127.0.0.1:{port}"
        async with proxying(command, environ, log, url), httpx.AsyncClient(base_url=url) as http:
            for _ in NODES:
                assert await answers_as(node, http)


async def answers_as(node: ServerProcess, http: httpx.AsyncClient) -> bool:
    """Return True if a front answers with the head of a node's log."""
    async with httpx.AsyncClient(base_url=node.url) as direct:
        ready = [(await client.get("/health/ready")).json() for client in (http, direct)]
    return bool(ready[0] == ready[1])


async def test_the_front_needs_every_variable_of_the_compose_file() -> None:
    used = re.findall(r"\$\{(\w+)-", HAPROXY.path.read_text())
    assert sorted(set(used)) == sorted(SERVICES["front"]["environment"])


def test_only_the_front_has_a_port_and_it_is_on_the_loopback_interface() -> None:
    ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    [front] = ports.pop("front")
    assert ports == {}
    assert front.startswith("127.0.0.1:")


def test_the_image_copies_what_the_build_needs_and_runs_without_privileges() -> None:
    sources = {
        source for line in instructions("COPY") if "--from" not in line for source in line.split()[:-1]
    }
    assert all((ROOT / source).exists() for source in sources)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {
        "pyproject.toml",
        project["project"]["readme"],
        *project["project"]["license-files"],
        *wheel["packages"],
        *(path.split("/")[0] for path in wheel["force-include"]),
    }
    assert sources >= needed
    [constraints] = re.findall(r"--constraint (\S+)", DOCKERFILE)
    assert (ROOT / constraints).exists()
    assert {line.partition(" ")[0] for line in instructions("FROM")} == {"python:3.12-slim"}
    assert instructions("USER") == ["streamd"]
    [command] = instructions("CMD")[-1:]
    name, *arguments = json.loads(command)
    assert name == serve.name
    assert serve.make_context(name, arguments).params["bind"] == ("0.0.0.0:8080",)


async def test_the_health_check_of_the_image_succeeds_for_a_node_that_is_ready() -> None:
    [check] = re.findall(r"^HEALTHCHECK .*? CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)
    program, option, code = json.loads(check)
    assert (program, option) == ("python", "-c")
    async with server_process() as node:
        code = code.replace("8080", str(node.port))
        done = await trio.run_process([sys.executable, "-c", code], check=False)
        assert done.returncode == 0
        await trio.aclose_forcefully(await trio.open_tcp_stream("127.0.0.1", node.port))
    done = await trio.run_process([sys.executable, "-c", code], check=False, capture_stderr=True)
    assert done.returncode != 0
