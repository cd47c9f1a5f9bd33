"""Reverse proxies in front of nodes, started from the files in ``conf/examples`` with free ports."""

import os
import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Final

import attrs
import httpx
import psutil
import trio

from tests.support.certificates import trusting, write_certificate
from tests.support.program import ROOT

EXAMPLES: Final = ROOT / "conf" / "examples"
_SECONDS: Final = 60  # timeout of a start, and of an end
_LINGER_SECONDS: Final = 0.5  # of workers, which end at once unless they wait for threads
NO_CHANGES: Final[Mapping[str, str]] = MappingProxyType({})
_NODE_PORTS: Final = ("8081", "8082", "8083")
_PORT: Final = re.compile(r"\b(808[0-3]|8443)\b")


def _varnish_command(file: str) -> list[str]:
    """Return the arguments that the example names for itself, for a configuration made of it."""
    [arguments] = re.findall(r"^#   varnishd (-F .*)$", Path(file).read_text(), re.MULTILINE)
    return [file if argument.endswith(".vcl") else argument for argument in arguments.split()]


@attrs.frozen
class FrontKind:
    """A reverse proxy.

    Args:
        program: its command.
        file: its configuration in ``conf/examples``.
        run: the arguments that run it in the foreground, from the configuration and a folder of its own.
        rules: the text of the configuration behind which a test adds rules.
        has_tls: it can listen with TLS, and HTTP/2.
    """

    program: str
    file: str
    run: Callable[[str, Path], Sequence[str]]
    rules: str
    has_tls: bool = True

    @property
    def path(self) -> Path:
        return EXAMPLES / self.file

    @property
    def command(self) -> str:
        """Path of the program, which may be outside of a user's PATH."""
        found = shutil.which(self.program, path=f"{os.environ['PATH']}:/usr/sbin")
        assert found is not None, f"{self.program} is missing: see DEBIAN_PACKAGES in the Makefile"
        return found


NGINX: Final = FrontKind(
    "nginx",
    "nginx.conf",
    lambda file, folder: ("-c", file, "-p", str(folder), "-e", "stderr", "-g", "daemon off; pid nginx.pid;"),
    "        location / {\n",
)
HAPROXY: Final = FrontKind(  # -dW: a warning about the file is an error
    "haproxy",
    "haproxy.cfg",
    lambda file, folder: ("-db", "-dW", "-f", file),
    "frontend clients from basics\n",
)
CADDY: Final = FrontKind(
    "caddy",
    "Caddyfile",
    lambda file, folder: ("run", "--adapter", "caddyfile", "--config", file),
    "(streamd) {\n",
)
APACHE: Final = FrontKind(
    "apache2",
    "apache.conf",
    lambda file, folder: ("-f", file, "-D", "FOREGROUND"),
    "ProxyPreserveHost On\n",
)
# No jail. The configuration is compiled to machine code at each start, here without optimization.
_VARNISH_QUICKLY: Final = ("-j", "none", "-p", "cc_command=%D -O0 -g0")
VARNISH: Final = FrontKind(
    "varnishd",
    "varnish.vcl",
    lambda file, folder: (*_varnish_command(file), *_VARNISH_QUICKLY, "-n", str(folder / "varnish")),
    "sub vcl_recv {\n",
    has_tls=False,
)
FRONTS: Final = (NGINX, HAPROXY, CADDY, APACHE, VARNISH)
TLS_FRONTS: Final = tuple(kind for kind in FRONTS if kind.has_tls)
_APACHE_RETRY: Final = "/etc/streamd/apache-retry.asis"


@attrs.frozen
class Front:
    """A reverse proxy that answers.

    Attributes:
        url: for plain HTTP.
        tls_url: for TLS, if it was started with it.
    """

    url: str
    tls_url: str


def free_ports(count: int) -> list[int]:
    """Return ports of the loopback interface that were free a moment ago."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports: list[int] = [sock.getsockname()[1] for sock in sockets]
    for sock in sockets:
        sock.close()
    return ports


def configuration(
    kind: FrontKind, nodes: Sequence[int], ports: Sequence[int], folder: Path, *, tls: bool
) -> str:
    """Return the text of an example with other ports and folders.

    Args:
        kind: the proxy.
        nodes: the nodes' ports; a single node takes the place of all three.
        ports: to listen on: plain, and with TLS.
        folder: for the certificate and temporary files.
        tls: enable the lines with TLS.
    """
    text = kind.path.read_text()
    if tls:
        text = text.replace("#TLS ", "").replace("/etc/streamd/server.pem", write_certificate(folder))
    three = tuple(nodes) if len(nodes) > 1 else (nodes[0],) * len(_NODE_PORTS)
    numbers = dict(zip(("8080", "8443", *_NODE_PORTS), (*ports, *three), strict=True))
    text = _PORT.sub(lambda match: str(numbers[match[0]]), text)
    if kind is APACHE:
        text = text.replace("/run/apache2", str(folder))
    return with_own_folders(text, folder) if kind is NGINX else text


def with_own_folders(text: str, folder: Path) -> str:
    """Return a configuration of nginx whose temporary files are in ``folder``, not in those of the system."""
    names = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    folders = "".join(f"    {name}_temp_path {folder}/{name};\n" for name in names)
    return text.replace("http {\n", f"http {{\n{folders}", 1)


@asynccontextmanager
async def front_of(
    kind: FrontKind,
    *nodes: int,
    folder: Path,
    tls: bool = False,
    rule: str = "",
    changes: Mapping[str, str] = NO_CHANGES,
) -> AsyncIterator[Front]:
    """Run a proxy in front of nodes while the block lasts, from the time when it answers for one of them.

    Args:
        kind: the proxy.
        nodes: ports of three nodes, or of one in the place of all three.
        folder: for its files, its log among them.
        tls: listen with TLS, too.
        rule: directives to put before those of the requests to nodes.
        changes: directives of the example, and what to put in their place.
    """
    ports = free_ports(2)
    file = folder / kind.file
    text = configuration(kind, nodes, ports, folder, tls=tls)
    for before, after in changes.items():
        assert before in text
        text = text.replace(before, after)
    assert kind.rules in text
    file.write_text(text.replace(kind.rules, f"{kind.rules}{rule}\n", 1))
    log = folder / f"{kind.program}.log"
    # Caddy keeps its state in the XDG folders.
    environ = {"XDG_CONFIG_HOME": str(folder), "XDG_DATA_HOME": str(folder)}
    front = Front(f"http://127.0.0.1:{ports[0]}", f"https://127.0.0.1:{ports[1]}")
    command = [kind.command, *kind.run(str(file), folder)]
    with _published(EXAMPLES / "apache-retry.asis") as retry:
        file.write_text(file.read_text().replace(_APACHE_RETRY, retry))
        async with proxying(command, environ, log, front.tls_url if tls else front.url):
            yield front


@contextmanager
def _published(file: Path) -> Iterator[str]:
    """Copy a file to where every user of the machine can read it, as Apache's do, while the block lasts."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield shutil.copy(file, folder)


@asynccontextmanager
async def front_of_readme(node: int, *, folder: Path) -> AsyncIterator[Front]:
    """Run nginx with the lines of the README in front of one node while the block lasts.

    Args:
        node: its port.
        folder: for the files of nginx.
    """
    [lines] = re.findall(r"```nginx\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    [port] = free_ports(1)
    assert "listen 80;" in lines
    lines = lines.replace("8080", str(node)).replace("listen 80;", f"listen 127.0.0.1:{port};")
    file = folder / "nginx.conf"
    file.write_text(with_own_folders(f"events {{}}\nhttp {{\n{lines}}}\n", folder))
    front = Front(f"http://127.0.0.1:{port}", "")
    command = [NGINX.command, *NGINX.run(str(file), folder)]
    async with proxying(command, {}, folder / "nginx.log", front.url):
        yield front


@asynccontextmanager
async def proxying(
    command: Sequence[str], environ: Mapping[str, str], log: Path, url: str
) -> AsyncIterator[None]:
    """Run a proxy while the block lasts, from the time when it answers for a node.

    Args:
        command: runs it in the foreground.
        environ: variables of the environment, in addition to those of this process.
        log: file for its output.
        url: that it listens on.
    """
    with log.open("wb") as output:
        async with trio.open_nursery() as nursery:
            run = partial(
                trio.run_process,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
                env={**os.environ, **environ},
                deliver_cancel=_stop,
            )
            process: trio.Process = await nursery.start(run, command)
            await _until_it_answers(process, url, log)
            yield
            nursery.cancel_scope.cancel()


async def _stop(process: trio.Process) -> None:
    """End a proxy. Kill its worker processes first if they linger: Apache itself does so after 10 s."""
    process.terminate()
    with trio.move_on_after(_LINGER_SECONDS):
        await process.wait()
    if process.returncode is None:
        for worker in psutil.Process(process.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                worker.kill()
    with trio.move_on_after(_SECONDS):
        await process.wait()
    process.kill()


async def _until_it_answers(process: trio.Process, url: str, log: Path) -> None:
    with trio.fail_after(_SECONDS):
        async with httpx.AsyncClient(verify=trusting()) as http:
            while True:
                assert process.poll() is None, await trio.Path(log).read_text()
                try:
                    answer = await http.get(f"{url}/health/ready")
                except httpx.TransportError:
                    continue
                if answer.status_code == 200:
                    return
