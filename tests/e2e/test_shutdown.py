"""Graceful shutdown: all clients are notified, and the process exits with status 0."""

import json
import re
import signal
from pathlib import Path

import httpx
import pytest
import trio
from trio_websocket import ConnectionClosed, wrap_client_stream

from streamd.testing import open_stream
from tests.support.server_process import server_process
from tests.support.stalled_client import delayed_shutdown

DRAIN_SECONDS = 4
CLIENTS = 30


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_clients_are_asked_to_reconnect_at_different_times(number: signal.Signals) -> None:
    delays: list[int] = []
    async with server_process(server__drain_seconds=DRAIN_SECONDS) as server, httpx.AsyncClient() as http:

        async def follow(task_status: trio.TaskStatus[None]) -> None:
            async with open_stream(server.url, topics=["a"]) as reader:
                await reader.next_control("connected")
                task_status.started()
                assert await reader.next_control("closing") == {"reason": "shutdown"}
                assert reader.retry_ms is not None
                delays.append(reader.retry_ms)
                assert await reader.next_block() is None  # the body ends normally

        async def follow_websocket(task_status: trio.TaskStatus[None]) -> None:
            tcp = await trio.open_tcp_stream("127.0.0.1", server.port)
            async with tcp, trio.open_nursery() as background:
                socket = await wrap_client_stream(background, tcp, "127.0.0.1", "/events?topic=a")
                assert json.loads(await socket.get_message())["control"] == "connected"
                task_status.started()
                closing = json.loads(await socket.get_message())
                assert (closing["control"], closing["reason"]) == ("closing", "shutdown")
                with pytest.raises(ConnectionClosed):
                    await socket.get_message()
                assert socket.closed is not None
                assert socket.closed.code == 1012

        async def poll() -> None:
            answer = await http.get(f"{server.url}/events/poll?topic=a&wait=30", timeout=60)
            assert answer.json()["events"] == []

        with trio.fail_after(30):
            async with trio.open_nursery() as nursery:
                for _ in range(CLIENTS):
                    await nursery.start(follow)
                await nursery.start(follow_websocket)
                nursery.start_soon(poll)
                async with httpx.AsyncClient() as other:
                    while (await other.get(f"{server.url}/connections")).json()["active"] < CLIENTS + 2:
                        pass
                server.program.signal(number)
        assert await server.exit_status(DRAIN_SECONDS + 5) == 0
        assert min(delays) >= 2000
        assert max(delays) <= 2000 + 1000 * DRAIN_SECONDS
        assert len(set(delays)) > CLIENTS // 2
        with pytest.raises(OSError):
            await trio.open_tcp_stream("127.0.0.1", server.port)


async def read_answer(stream: trio.SocketStream) -> bytes:
    """Read an answer up to the end of its JSON object."""
    answer = b""
    while not answer.rstrip().endswith(b"}"):
        part = await stream.receive_some()
        assert part, f"the connection was closed after {answer!r}"
        answer += part
    return answer


async def test_readiness_is_false_while_draining() -> None:
    async with server_process(server__drain_seconds=30) as server:
        asking = await trio.open_tcp_stream("127.0.0.1", server.port)
        async with delayed_shutdown(server), asking:
            await asking.send_all(b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b" 200 " in await read_answer(asking)
            server.program.signal(signal.SIGTERM)
            answer = b" 200 "
            while b" 200 " in answer:  # until the signal has been handled
                await asking.send_all(b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\n\r\n")
                answer = await read_answer(asking)
            assert b" 503 " in answer
        assert await server.exit_status(15) == 0


async def claim(
    port: int,
    worker: str,
    answers: list[bytes],
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Claim a task, and add the whole answer to ``answers``; started once the request has begun."""
    body = json.dumps({"kinds": ["import"], "worker": worker, "wait_seconds": 50}).encode()
    head = (
        "POST /tasks/claim HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nExpect: 100-continue\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(head.encode())
        interim = b""
        while b"\r\n\r\n" not in interim:
            interim += await stream.receive_some()
        assert interim.startswith(b"HTTP/1.1 100 ")
        await stream.send_all(body)
        task_status.started()
        answers.append(b"".join([bytes(part) async for part in stream]))


@pytest.mark.parametrize("store", ["memory:", "sqlite:{}/tasks.db"])
async def test_waiting_claims_are_answered_503_with_retry_after(store: str, tmp_path: Path) -> None:
    answers: list[bytes] = []
    url = store.format(tmp_path)
    async with server_process("--store", url) as server, httpx.AsyncClient(timeout=60) as http:
        async with trio.open_nursery() as nursery:
            for number in range(3):
                await nursery.start(claim, server.port, f"w{number}", answers)
            created = {"kind": "import", "id": "one"}
            while not answers:  # until one claim waits, and gets this task
                await http.post(f"{server.url}/tasks", json=created)
            server.program.signal(signal.SIGTERM)
        assert await server.exit_status(5) == 0
    assert sorted(answer.split()[1] for answer in answers) == [b"200", b"503", b"503"]
    for answer in answers:
        if answer.split()[1] == b"503":
            assert re.search(rb"\r\nretry-after: [1-9]", answer, re.IGNORECASE)
            assert b'"code":"shutting-down"' in answer


async def test_a_graceful_shutdown_leaves_pending_tasks_to_the_next_process(tmp_path: Path) -> None:
    options = ("--store", f"sqlite:{tmp_path / 'tasks.db'}")
    async with server_process(*options) as server, httpx.AsyncClient(base_url=server.url) as http:
        await http.post("/tasks", json={"kind": "import", "id": "one"})
        server.program.signal(signal.SIGTERM)
        assert await server.exit_status(5) == 0
    async with server_process(*options) as server, httpx.AsyncClient(base_url=server.url) as http:
        claimed = await http.post("/tasks/claim", json={"kinds": ["import"], "worker": "w"})
        assert claimed.json()["id"] == "one"


async def test_more_connections_than_open_files_are_rejected_with_the_possible_maximum() -> None:
    arguments = ["-c", "ulimit -n 200; exec $0 -m streamd serve --bind 127.0.0.1:0"]
    import sys

    done = await trio.run_process(
        ["bash", *arguments, sys.executable], check=False, capture_stdout=True, capture_stderr=True
    )
    assert done.returncode == 2
    assert b"connections.max_connections = 10000: this process may open 200 files" in done.stderr
    assert b"set connections.max_connections to 136 or less" in done.stderr
    assert b"Traceback" not in done.stderr


async def test_a_second_signal_ends_the_process_at_once() -> None:
    async with server_process(server__drain_seconds=50) as server:
        stalled = await trio.open_tcp_stream("127.0.0.1", server.port)
        async with stalled, open_stream(server.url, topics=["a"]) as reader:
            await reader.next_control("connected")
            await stalled.send_all(b"GET /events/poll?topic=a&wait=50 HTTP/1.1\r\nHost: localhost\r\n")
            server.program.signal(signal.SIGTERM)
            await reader.next_control("closing")
            server.program.signal(signal.SIGTERM)
            assert await server.exit_status(10) in (0, -signal.SIGTERM)
