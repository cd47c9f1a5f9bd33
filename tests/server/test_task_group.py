"""The trio tasks of a connection, and the queue of messages for its applications."""

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import httpx
import pytest
import trio
import trio.testing
from hypercorn.config import Config
from structlog.testing import capture_logs
from structlog.typing import EventDict

from streamd.server import serve
from streamd.server.connection import ServerConnection
from streamd.server.settings import ServerSettings
from streamd.server.task_group import Inbox, TaskGroup
from streamd.settings import Settings
from tests.support.http2_client import ManualHTTP2Client

SECONDS = 30


async def test_messages_are_received_in_order() -> None:
    inbox = Inbox(10)
    for number in range(10):
        await inbox.put(number)
    assert [await inbox.receive() for _ in range(10)] == list(range(10))


async def test_put_waits_while_the_inbox_is_full() -> None:
    inbox = Inbox(3)
    put: list[int] = []

    async def put_all() -> None:
        for number in range(9):
            await inbox.put(number)
            put.append(number)

    with trio.fail_after(SECONDS):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(put_all)
            for number in range(9):
                await trio.testing.wait_all_tasks_blocked()
                assert len(put) == min(number + 3, 9)
                assert await inbox.receive() == number


async def test_concurrent_puts_never_exceed_the_capacity_and_all_messages_arrive() -> None:
    inbox = Inbox(2)
    put = received = 0

    async def put_some() -> None:
        nonlocal put
        for _ in range(20):
            await inbox.put("x")
            put += 1
            assert put - received <= 2

    with trio.fail_after(SECONDS):
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(put_some)
            for _ in range(100):
                await inbox.receive()
                received += 1


async def test_a_cancelled_receive_loses_no_message() -> None:
    inbox = Inbox(3)
    with trio.fail_after(SECONDS):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(inbox.receive)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(inbox.put, "kept")
        with trio.CancelScope() as scope:
            scope.cancel()
            await inbox.receive()
        assert scope.cancelled_caught
        assert await inbox.receive() == "kept"


async def test_a_put_that_is_cancelled_while_it_waits_adds_nothing() -> None:
    inbox = Inbox(1)
    await inbox.put("first")
    with trio.fail_after(SECONDS):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(inbox.put, "never")
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        assert await inbox.receive() == "first"
        await inbox.put("second")
        assert await inbox.receive() == "second"


async def test_closing_wakes_waiting_puts_and_drops_their_messages() -> None:
    inbox = Inbox(1)
    await inbox.put("kept")
    with trio.fail_after(SECONDS):
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(inbox.put, "dropped")
            await trio.testing.wait_all_tasks_blocked()
            inbox.close()
        for _ in range(5):
            await inbox.put("dropped")
        assert await inbox.receive() == "kept"
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(inbox.receive)
                await trio.testing.wait_all_tasks_blocked()
                scope.cancel()
        assert scope.cancelled_caught  # no message was left


async def test_the_connection_of_a_cancelled_application_ends_before_its_answer() -> None:
    seen: list[object] = []

    async def wait(scope: Any, receive: Any, send: Any) -> None:
        await trio.sleep_forever()

    async def send(message: Any) -> None:
        seen.append(message)

    async with trio.open_nursery() as nursery:
        group = TaskGroup(nursery, wait, lambda: seen.append("ended"))
        await group.spawn_app(None, Config(), {"path": "/"}, send)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert seen == ["ended", None]


async def test_a_request_that_is_cancelled_is_not_answered_500() -> None:
    async def wait(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await application(scope, receive, send)
        [connection] = serving_connections()
        # As of an idle connection to which a request comes at this moment.
        connection._nursery.cancel_scope.cancel()
        await trio.sleep_forever()

    def serving_connections() -> list[ServerConnection]:
        return [
            each for each in gc.get_objects() if isinstance(each, ServerConnection) and not each.output.closed
        ]

    settings = ServerSettings(bind=["127.0.0.1:0"])
    with trio.fail_after(SECONDS):
        async with trio.open_nursery() as nursery:
            [url] = await nursery.start(partial(serve, wait, settings))
            async with httpx.AsyncClient(base_url=url) as client:
                with pytest.raises(httpx.RemoteProtocolError):
                    await client.get("/")
            nursery.cancel_scope.cancel()


# --- an application that raises -------------------------------------------------------------------


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Raise before the answer at ``/early`` and within it at ``/late``; otherwise answer in two parts."""
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    if scope["path"] == "/early":
        raise LookupError("on purpose")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"begun ", "more_body": True})
    if scope["path"] == "/late":
        raise ExceptionGroup("on purpose", [LookupError(), OSError()])
    while (await receive())["more_body"]:
        pass
    await send({"type": "http.response.body", "body": b"and done", "more_body": False})


@asynccontextmanager
async def serving() -> AsyncIterator[str]:
    settings = Settings(server=ServerSettings(bind=["127.0.0.1:0"]))
    with trio.fail_after(SECONDS):
        async with trio.open_nursery() as nursery:
            [url] = await nursery.start(partial(serve, application, settings.server))
            yield url
            nursery.cancel_scope.cancel()


def errors(logs: list[EventDict]) -> list[str]:
    """Return the paths of the errors that were logged."""
    return [entry["path"] for entry in logs if entry["log_level"] == "error"]


async def test_an_exception_is_logged_and_answered_500_and_other_requests_go_on() -> None:
    with capture_logs() as logs:
        async with serving() as url, httpx.AsyncClient(base_url=url) as client:
            for _ in range(2):
                assert (await client.get("/early")).status_code == 500
            assert (await client.get("/good")).text == "begun and done"
    assert errors(logs) == ["/early", "/early"]


async def test_an_exception_in_the_middle_of_an_answer_leaves_it_incomplete() -> None:
    with capture_logs() as logs:
        async with serving() as url, httpx.AsyncClient(base_url=url) as client:
            with pytest.raises(httpx.RemoteProtocolError):
                await client.get("/late")
            assert (await client.get("/good")).text == "begun and done"
    assert errors(logs) == ["/late"]


async def test_on_http2_an_exception_does_not_end_other_streams() -> None:
    with capture_logs() as logs:
        async with serving() as url:
            host, _, port = url.rpartition("/")[2].partition(":")
            async with await trio.open_tcp_stream(host, int(port)) as stream:
                client = ManualHTTP2Client(stream)
                open_ = await client.post("/good", {})
                while client.received.get(open_) != b"begun ":
                    await client.read()
                await client.get("/early")
                await client.get("/late")
                good = await client.get("/good")
                while client.received.get(good) != b"begun and done":
                    await client.read()
                client.http.send_data(open_, b"", end_stream=True)
                await stream.send_all(client.http.data_to_send())
                while client.received[open_] != b"begun and done":
                    await client.read()
    assert sorted(errors(logs)) == ["/early", "/late"]
