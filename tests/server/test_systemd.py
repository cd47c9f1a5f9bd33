"""Notifications to systemd, received from its socket. The whole server: see e2e/test_systemd."""

import os
import socket
import threading
import time
from pathlib import Path

import pytest
import structlog.testing
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from streamd.server import SystemdNotifier
from tests.support.systemd_socket import ADDRESSES, NotifySocket, notify_socket

READY = {"READY": "1"}
STOPPING = {"STOPPING": "1"}
PING = {"WATCHDOG": "1"}


def make_notifier(systemd: NotifySocket, **variables: str) -> SystemdNotifier:
    return SystemdNotifier.from_environ({"NOTIFY_SOCKET": systemd.address, **variables})


@pytest.mark.parametrize("kind", ADDRESSES)
async def test_start_reload_and_shutdown_are_announced_in_order(kind: str, tmp_path: Path) -> None:
    with notify_socket(tmp_path, kind) as systemd:
        notifier = make_notifier(systemd)
        await notifier.ready()
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        async with notifier.reloading():
            ready, reloading = systemd.pending()
        await notifier.stopping()
        assert ready == READY
        assert reloading["RELOADING"] == "1"
        assert before <= int(reloading["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
        assert systemd.pending() == [READY, STOPPING]


async def test_a_reload_while_the_server_is_not_listening_is_not_announced(tmp_path: Path) -> None:
    with notify_socket(tmp_path) as systemd:
        notifier = make_notifier(systemd)
        async with notifier.reloading():
            pass
        assert systemd.pending() == []
        await notifier.ready()
        async with notifier.reloading():
            await notifier.stopping()
        assert [next(iter(notification)) for notification in systemd.pending()] == [
            "READY",
            "RELOADING",
            "STOPPING",
        ]


async def test_a_server_that_stops_before_it_was_ready_is_never_ready(tmp_path: Path) -> None:
    with notify_socket(tmp_path) as systemd:
        notifier = make_notifier(systemd)
        await notifier.stopping()
        await notifier.ready()
        assert systemd.pending() == [STOPPING]


async def test_the_watchdog_is_pinged_at_half_of_its_timeout(tmp_path: Path, mock_clock: MockClock) -> None:
    with notify_socket(tmp_path) as systemd:
        notifier = make_notifier(systemd, WATCHDOG_USEC="30000000", WATCHDOG_PID=str(os.getpid()))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(notifier.run_watchdog)
            for seconds, expected in [(0, [PING]), (14, []), (1, [PING]), (15, [PING])]:
                mock_clock.jump(seconds)
                await wait_all_tasks_blocked()
                assert systemd.pending() == expected
            nursery.cancel_scope.cancel()


async def test_a_loop_that_hangs_does_not_ping(tmp_path: Path) -> None:
    with notify_socket(tmp_path) as systemd:
        notifier = make_notifier(systemd, WATCHDOG_USEC="2000")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(notifier.run_watchdog)
            assert await systemd.receive() == PING
            systemd.pending()
            threading.Event().wait(0.05)  # the loop hangs for many intervals
            assert systemd.pending() == []
            assert await systemd.receive() == PING
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("variables", "logged"),
    [
        ({}, []),
        ({"WATCHDOG_USEC": ""}, []),
        ({"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}, []),
        ({"WATCHDOG_USEC": "0"}, ["watchdog_timeout_invalid"]),
        ({"WATCHDOG_USEC": "-5"}, ["watchdog_timeout_invalid"]),
        ({"WATCHDOG_USEC": "1e6"}, ["watchdog_timeout_invalid"]),
        ({"WATCHDOG_USEC": "٣"}, ["watchdog_timeout_invalid"]),
    ],
)
async def test_without_a_timeout_for_this_process_the_watchdog_ends(
    variables: dict[str, str], logged: list[str], tmp_path: Path
) -> None:
    with notify_socket(tmp_path) as systemd, structlog.testing.capture_logs() as logs:
        with trio.fail_after(10):
            await make_notifier(systemd, **variables).run_watchdog()
        assert systemd.pending() == []
    assert [line["event"] for line in logs] == logged


async def test_without_a_socket_nothing_happens() -> None:
    with structlog.testing.capture_logs() as logs, trio.fail_after(10):
        for environ in ({}, {"NOTIFY_SOCKET": ""}):
            notifier = SystemdNotifier.from_environ({**environ, "WATCHDOG_USEC": "1000"})
            await notifier.ready()
            async with notifier.reloading():
                pass
            await notifier.run_watchdog()
            await notifier.stopping()
    assert logs == []


@pytest.mark.parametrize("address", ["vsock:2:1234", "notify", "unix:/run/notify"])
async def test_addresses_of_other_kinds_are_logged_and_ignored(address: str) -> None:
    with structlog.testing.capture_logs() as logs:
        await SystemdNotifier.from_environ({"NOTIFY_SOCKET": address}).ready()
    assert [line["event"] for line in logs] == ["notify_socket_unsupported"]


@pytest.mark.parametrize("address", ["/nowhere/notify", "@streamd-nobody", "/" + 200 * "x", "@", "/dev/null"])
async def test_a_socket_that_cannot_be_reached_is_logged_once(address: str) -> None:
    with structlog.testing.capture_logs() as logs:
        notifier = SystemdNotifier(address)
        await notifier.ready()
        await notifier.stopping()
    assert [line["event"] for line in logs] == ["notify_socket_unreachable"]


async def test_a_socket_that_is_bound_again_is_reached_again(tmp_path: Path) -> None:
    with structlog.testing.capture_logs() as logs:
        with notify_socket(tmp_path) as systemd:
            notifier = make_notifier(systemd)
            await notifier.ready()
            assert systemd.pending() == [READY]
        async with notifier.reloading():
            pass
        (tmp_path / "notify").unlink()
        with notify_socket(tmp_path) as systemd:
            await notifier.stopping()
            assert systemd.pending() == [STOPPING]
    assert [line["event"] for line in logs] == ["notify_socket_unreachable"]


async def test_a_full_socket_delays_a_notification_and_a_timeout_drops_it(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    with notify_socket(tmp_path) as systemd, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                other.sendto(b"X=1", systemd.address)
        with structlog.testing.capture_logs() as logs, trio.fail_after(10):
            await make_notifier(systemd).ready()
        assert [line["event"] for line in logs] == ["notify_socket_unreachable"]
        notifier = make_notifier(systemd)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(notifier.stopping)
            await wait_all_tasks_blocked()
            assert STOPPING not in systemd.pending()
        assert systemd.pending() == [STOPPING]
