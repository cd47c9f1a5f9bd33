"""The server under systemd's protocol: start, reloads, the watchdog and shutdown are announced."""

import signal
from pathlib import Path

import httpx
import pytest

from tests.support.program import started
from tests.support.server_process import ADDRESS
from tests.support.systemd_socket import ADDRESSES, notify_socket


@pytest.mark.parametrize("kind", ADDRESSES)
async def test_the_life_of_a_server_is_announced(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "streamd.toml"
    file.write_text("")
    arguments = ("serve", "--bind", "127.0.0.1:0", "--config", str(file))
    with notify_socket(tmp_path, kind) as systemd:
        async with started(*arguments, NOTIFY_SOCKET=systemd.address, WATCHDOG_USEC="100000") as program:
            assert await systemd.receive_state() == {"READY": "1"}
            url = (await program.line()).removeprefix(ADDRESS)
            async with httpx.AsyncClient() as http:
                assert (await http.get(f"{url}/health/ready")).status_code == 200
            assert await systemd.receive() == {"WATCHDOG": "1"}
            for text in ("[connections]\nmax_connections = 5\n", "not TOML"):
                file.write_text(text)
                program.signal(signal.SIGHUP)
                reloading = await systemd.receive_state()
                assert reloading["RELOADING"] == "1"
                assert int(reloading["MONOTONIC_USEC"]) > 0
                assert await systemd.receive_state() == {"READY": "1"}
            program.signal(signal.SIGTERM)
            assert await systemd.receive_state() == {"STOPPING": "1"}
            assert await program.ended() == 0


async def test_a_missing_socket_of_systemd_does_not_stop_the_server(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    variables = {"NOTIFY_SOCKET": missing, "WATCHDOG_USEC": "100000"}
    async with started("serve", "--bind", "127.0.0.1:0", **variables) as program:
        url = (await program.line()).removeprefix(ADDRESS)
        await program.says("notify_socket_unreachable")
        async with httpx.AsyncClient() as http:
            assert (await http.get(f"{url}/health/ready")).status_code == 200
        program.signal(signal.SIGTERM)
        assert await program.ended() == 0
