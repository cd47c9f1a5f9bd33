"""Several processes on one listening socket: restarts, and the end of all of them."""

import signal
import socket
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest
import trio

from streamd.testing import open_stream
from tests.support.program import started_on
from tests.support.systemd_socket import notify_socket
from tests.support.unshared_workers import MODULE
from tests.support.waiting import until
from tests.support.worker_app import STARTS
from tests.support.worker_server import WorkerServer, is_gone, worker_server

GET_PID = b"GET /pid HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
POST_HEAD = b"POST /pid HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 2\r\n\r\n"


async def answer(stream: trio.SocketStream) -> tuple[bytes, int]:
    """Read an answer up to the end of the connection; return its status and its body, a process id."""
    head, _, body = b"".join([bytes(part) async for part in stream]).partition(b"\r\n\r\n")
    return head.split()[1], int(body)


async def connect(server: WorkerServer) -> trio.SocketStream:
    return await trio.open_tcp_stream("127.0.0.1", server.port)


async def test_each_process_accepts_from_the_port_that_is_announced_once() -> None:
    async with worker_server(3) as server:
        for process in server.processes:
            async with server.stopped(*(other for other in server.processes if other != process)):
                assert await server.answering_pid() == process.pid
        server.signal(signal.SIGTERM)
        assert await server.program.rest() == ""
        assert await server.program.ended() == 0
        assert "Traceback" not in await server.program.rest(2)
        await server.all_gone()
        with pytest.raises(OSError):
            await connect(server)


async def test_a_killed_process_is_restarted_and_others_serve_meanwhile() -> None:
    async with worker_server(2) as server:
        first, second = server.processes
        async with server.stopped(server.supervisor):  # which restarts nothing meanwhile
            first.kill()
            await until(lambda: is_gone(first))
            assert await server.answering_pid() == second.pid
        ended = await server.logged("server_process_ended")
        assert (ended["process"], ended["pid"], ended["signal"]) == (1, first.pid, "SIGKILL")
        restarting = await server.logged("server_process_restarting")
        assert restarting["process"] == 1
        assert 1 <= restarting["delay_seconds"] <= 1.5
        ready = await server.logged("server_process_ready")
        assert ready["process"] == 1
        async with server.stopped(second):
            assert await server.answering_pid() == ready["pid"]
        server.signal(signal.SIGTERM)
        assert await server.program.ended() == 0


async def test_processes_drain_one_after_another_and_queued_connections_are_accepted_by_the_next() -> None:
    settings = {"server__drain_seconds": "40", "tuning__server__grace_seconds": "40"}
    async with worker_server(2, **settings) as server, AsyncExitStack() as streams:
        first, second = server.processes
        async with server.stopped(second):
            # A request in progress, which keeps the first process in its drain.
            held = await streams.enter_async_context(await connect(server))
            await held.send_all(POST_HEAD + b"x")
            async with open_stream(server.url, topics=["a"]) as reader:
                await reader.next_control("connected")
                server.signal(signal.SIGTERM)
                await reader.next_control("closing")  # it does not accept any more
            queued = [await streams.enter_async_context(await connect(server)) for _ in range(10)]
            for stream in queued:
                await stream.send_all(GET_PID)
        assert [await answer(stream) for stream in queued] == [(b"200", second.pid)] * 10
        async with open_stream(server.url, topics=["a"]) as reader:
            await reader.next_control("connected")
            async with httpx.AsyncClient() as http:
                assert (await http.get(f"{server.url}/health/ready")).status_code == 200, "not draining"
            await held.send_all(b"y")
            assert await answer(held) == (b"200", first.pid)
            assert (await server.logged("server_process_ended"))["pid"] == first.pid
            assert await reader.next_control("closing") == {"reason": "shutdown"}
        assert await server.program.ended() == 0
        with pytest.raises(OSError):
            await connect(server)


async def test_processes_shut_down_gracefully_when_their_supervisor_is_killed() -> None:
    async with (
        worker_server(2) as server,
        open_stream(server.url, topics=["a"]) as reader,
    ):
        await reader.next_control("connected")
        server.signal(signal.SIGKILL)
        assert await reader.next_control("closing") == {"reason": "shutdown"}
        assert await reader.next_block() is None
        await server.all_gone()


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.soak)])
async def test_a_second_signal_ends_all_processes_at_once(number: signal.Signals) -> None:
    settings = {"server__drain_seconds": "50", "tuning__server__grace_seconds": "50"}
    async with worker_server(2, **settings) as server:
        async with server.stopped(server.processes[1]):
            held = await connect(server)
            async with held, open_stream(server.url, topics=["a"]) as reader:
                await held.send_all(POST_HEAD)
                await reader.next_control("connected")
                server.signal(number)
                await reader.next_control("closing")
                server.signal(number)
                assert await server.program.ended() == -number
        await server.all_gone()


async def test_sighup_reloads_every_process(tmp_path: Path) -> None:
    file = tmp_path / "streamd.toml"
    file.write_text("")
    async with worker_server(2, "--config", str(file)) as server:
        file.write_text("[connections]\nmax_connections = 7\n")
        server.signal(signal.SIGHUP)
        outcomes = [await server.logged("configuration_reloaded") for _ in server.processes]
        assert {outcome["process"] for outcome in outcomes} == {1, 2}
        assert [outcome["changed"] for outcome in outcomes] == [["connections.max_connections"]] * 2


async def test_the_first_process_alone_publishes_the_demo_source() -> None:
    async with worker_server(2, "--demo") as server:
        first, second = server.processes
        async with server.stopped(second), open_stream(server.url, topics=["host/metrics"]) as reader:
            assert await reader.next_event() is not None
        async with server.stopped(first), httpx.AsyncClient(base_url=server.url) as http:
            await http.post("/events", json={"topic": "a", "data": "own"})
            polled = await http.get("/events/poll", params={"pattern": "**", "after": "earliest"})
        assert [event["data"] for event in polled.json()["events"]] == ["own"], polled.text


async def test_an_address_in_use_is_refused_before_a_process_starts(tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        command = (
            "serve",
            "--bind",
            address,
            "--workers",
            "2",
            "--app",
            "tests.support.worker_app:make_once",
        )
        async with started_on(*command, variables={STARTS: str(starts)}, module=MODULE) as program:
            errors = await program.rest(2)
            assert await program.ended() == 2
    assert f"server.bind: cannot listen on {address}: Address already in use" in errors
    assert starts.read_text() == ".", "the supervisor only"


@pytest.mark.parametrize(
    ("app", "status", "message"),
    [("make_once", 2, "no second process can be started"), ("end_at_once", 1, "")],
)
async def test_a_process_that_fails_at_its_first_start_ends_the_supervisor(
    tmp_path: Path, app: str, status: int, message: str
) -> None:
    starts = tmp_path / "starts"
    command = ("serve", "--bind", "127.0.0.1:0", "--workers", "4", "--app", f"tests.support.worker_app:{app}")
    async with started_on(*command, variables={STARTS: str(starts)}, module=MODULE) as program:
        assert await program.rest() == ""
        assert await program.ended() == status
        errors = await program.rest(2)
    assert starts.read_text() == "..", "the supervisor and one process"
    assert errors.count("Error: ") == (1 if message else 0)
    assert message in errors
    assert "Traceback" not in errors


async def test_systemd_hears_from_the_supervisor_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with notify_socket(tmp_path, "path") as systemd:
        monkeypatch.setenv("NOTIFY_SOCKET", systemd.address)
        async with worker_server(2) as server:
            assert await systemd.receive() == {"READY": "1"}
            server.signal(signal.SIGTERM)
            assert await systemd.receive() == {"STOPPING": "1"}
            assert await server.program.ended() == 0
        assert systemd.pending() == []
