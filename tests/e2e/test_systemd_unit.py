"""The unit in ``conf/examples/systemd``: its command runs, and its limits fit the settings of streamd."""

import re
import shlex
import shutil
import signal
import sys
from collections import defaultdict
from pathlib import Path
from typing import Final

import httpx
import trio

from streamd.config import parse_unix_bind
from streamd.server.files import SPARE_FILES
from streamd.settings import Settings
from tests.support.program import ROOT, started
from tests.support.server_process import ADDRESS
from tests.support.systemd_socket import notify_socket

UNIT: Final = ROOT / "conf" / "examples" / "systemd" / "streamd.service"
CONFIGURATION: Final = ROOT / "conf" / "streamd.toml"
PROGRAM: Final = Path(sys.executable).parent / "streamd"


def directives(text: str) -> dict[str, list[str]]:
    """Return the values of each directive of a unit, of all sections (systemd.syntax(7))."""
    values: dict[str, list[str]] = defaultdict(list)
    for line in text.splitlines():
        if line and line[0] not in "#;[":
            name, _, value = line.partition("=")
            values[name].append(value)
    return values


SERVICE: Final = directives(UNIT.read_text())


def only(name: str) -> str:
    """Return the value of a directive that the unit has once."""
    [value] = SERVICE[name]
    return value


async def test_the_command_starts_pings_reloads_and_stops_as_the_unit_expects(tmp_path: Path) -> None:
    executable, *arguments = shlex.split(only("ExecStart"))
    assert Path(executable).name == PROGRAM.name
    configuration = arguments[arguments.index("--config") + 1]
    arguments[arguments.index(configuration)] = str(CONFIGURATION)
    variables = dict(value.split("=", 1) for value in SERVICE["Environment"])
    state_folder = f"/var/lib/{only('StateDirectory')}"
    store = variables["STREAMD_STORE__URL"]
    assert store.startswith(f"sqlite:{state_folder}/")
    assert only("WorkingDirectory") == state_folder
    assert only("Type") == "notify"
    assert only("ExecReload") == "/bin/kill -HUP $MAINPID"
    variables["STREAMD_STORE__URL"] = store.replace(state_folder, str(tmp_path))
    variables["WATCHDOG_USEC"] = f"{only('WatchdogSec')}000000"
    with notify_socket(tmp_path) as systemd:
        variables["NOTIFY_SOCKET"] = systemd.address
        async with started(*arguments, "--bind", "127.0.0.1:0", **variables) as program:
            assert await systemd.receive_state() == {"READY": "1"}
            url = (await program.line()).removeprefix(ADDRESS)
            async with httpx.AsyncClient(base_url=url) as http:
                assert (await http.get("/health/ready")).status_code == 200
            program.signal(signal.SIGHUP)
            assert "RELOADING" in await systemd.receive_state()
            assert await systemd.receive_state() == {"READY": "1"}
            program.signal(signal.SIGTERM)
            with trio.fail_after(int(only("TimeoutStopSec"))):
                assert await program.ended() == 0
    assert await trio.Path(tmp_path / "streamd.db").exists()


def test_the_limits_of_the_unit_fit_the_defaults_of_streamd() -> None:
    settings = Settings()
    assert int(only("TimeoutStopSec")) > settings.server.drain_seconds + settings.server.grace_seconds
    assert int(only("LimitNOFILE")) >= settings.connections.max_connections + SPARE_FILES
    # The loop is blocked for milliseconds at most; a timeout of seconds never ends a server that works.
    assert int(only("WatchdogSec")) >= 10
    assert only("Restart") == "on-failure"


def test_figures_in_the_comments_are_those_of_the_settings() -> None:
    settings, text = Settings(), UNIT.read_text()
    drain = settings.server.drain_seconds + settings.server.grace_seconds
    assert f"({drain:.0f} s)" in text
    assert f"({settings.connections.max_connections:_})".replace("_", " ") in text
    assert f"{SPARE_FILES} files" in text


def test_the_service_may_write_to_its_state_folder_only() -> None:
    assert only("DynamicUser") == "yes"
    assert only("ProtectSystem") == "strict"
    assert only("NoNewPrivileges") == "yes"
    assert only("CapabilityBoundingSet") == ""
    assert "ReadWritePaths" not in SERVICE
    assert set(only("RestrictAddressFamilies").split()) >= {"AF_INET", "AF_INET6", "AF_UNIX"}


async def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    """Without systemd on this machine, check the form of the lines alone."""
    text = UNIT.read_text()
    assert all(re.fullmatch(r"|[#;].*|\[\w+\]|\w+=.*", line) for line in text.splitlines())
    if shutil.which("systemd-analyze") is None:
        return
    unit = tmp_path / UNIT.name
    unit.write_text(text.replace(shlex.split(only("ExecStart"))[0], str(PROGRAM)))
    done = await trio.run_process(
        ["systemd-analyze", "verify", "--man=no", str(unit)], check=False, capture_stderr=True
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_the_sockets_fit_the_settings() -> None:
    """Both units have one name, so that systemd passes the sockets on; the server accepts from them."""
    socket_unit = UNIT.with_suffix(".socket")
    values = directives(socket_unit.read_text())
    [bind] = Settings().server.bind
    assert bind in values["ListenStream"]
    assert values["Accept"] == ["no"]
    assert values["Backlog"] == [str(Settings().server.backlog)]
    assert values["SocketMode"] == [Settings().server.unix_mode]
    assert all(parse_unix_bind(f"unix:{each}") for each in values["ListenStream"] if each.startswith("/"))
    assert {"AF_INET", "AF_INET6", "AF_UNIX"} <= {*only("RestrictAddressFamilies").split()}
