"""HTTP/1.0, keep-alive, and requests behind a stream."""

import pytest
import trio

from streamd.testing import RunningServer, open_stream, run_server


async def read_until(stream: trio.SocketStream, mark: bytes) -> bytes:
    data = b""
    while mark not in data:
        part = await stream.receive_some()
        assert part, data
        data += part
    return data


async def wait_for_no_connections(server: RunningServer) -> None:
    while server.streamd.connections.statistics()["active"]:
        await trio.lowlevel.checkpoint()


async def test_http_1_0_streams_without_chunks_until_the_connection_closes() -> None:
    with trio.fail_after(20):
        async with run_server() as server:
            stream = await trio.open_tcp_stream(server.host, server.port)
            async with stream:
                await stream.send_all(b"GET /events?topic=a&client_id=old HTTP/1.0\r\n\r\n")
                head = (await read_until(stream, b"connected")).partition(b"\r\n\r\n")[0]
                assert b" 200" in head
                assert b"chunked" not in head.lower()
                await server.streamd.publish("a", "for the old")
                assert b"data: for the old\n" in await read_until(stream, b"for the old\n")
                server.streamd.connections.close("old")
                rest = b"".join([bytes(part) async for part in stream])
            assert b"event: closing" in rest
            await wait_for_no_connections(server)


async def test_a_connection_is_kept_alive_after_its_stream_ended() -> None:
    with trio.fail_after(20):
        async with run_server() as server:
            stream = await trio.open_tcp_stream(server.host, server.port)
            async with stream:
                for _ in range(3):
                    await stream.send_all(b"GET /events?topic=a&client_id=me HTTP/1.1\r\nHost: x\r\n\r\n")
                    assert b" 200" in await read_until(stream, b"event: connected")
                    server.streamd.connections.close("me")
                    assert b"event: closing" in await read_until(stream, b"\r\n0\r\n\r\n")
                    await wait_for_no_connections(server)
                await stream.send_all(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
                assert b" 200" in await read_until(stream, b"\r\n\r\n")


async def test_a_head_request_takes_no_slot() -> None:
    with trio.fail_after(20):
        async with run_server() as server:
            stream = await trio.open_tcp_stream(server.host, server.port)
            async with stream:
                await stream.send_all(
                    b"HEAD /events?topic=a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
                )
                answer = b"".join([bytes(part) async for part in stream])
            assert b" 200" in answer.split(b"\r\n")[0]
            assert answer.endswith(b"\r\n\r\n")
            await wait_for_no_connections(server)


async def test_a_client_that_leaves_with_a_request_behind_its_stream_releases_its_slot() -> None:
    """Hypercorn stops reading while a request is queued behind a stream, and would not notice the close."""
    with trio.fail_after(20):
        async with run_server() as server:
            stream = await trio.open_tcp_stream(server.host, server.port)
            async with stream:
                await stream.send_all(b"GET /events?topic=a HTTP/1.1\r\nHost: x\r\n\r\n")
                await read_until(stream, b"event: connected")
                await stream.send_all(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
            while server.streamd.connections.statistics()["active"]:
                await server.streamd.publish("a", "a write finds the closed socket")


async def test_aborting_a_client_with_a_pipelined_request_ends_no_other() -> None:
    """The request suspends Hypercorn's reader, which the abort then cancels."""
    with trio.fail_after(20):
        async with run_server() as server, open_stream(server.url, topics=["a"]) as other:
            await other.next_control("connected")
            stream = await trio.open_tcp_stream(server.host, server.port)
            async with stream:
                request = b"GET /events?topic=a&client_id=parked HTTP/1.1\r\nHost: x\r\n\r\n"
                await stream.send_all(request + request)
                await read_until(stream, b"event: connected")
                server.streamd.connections.find("parked").abort()
                with pytest.raises(trio.BrokenResourceError):
                    while await stream.receive_some():
                        pass
            await server.streamd.publish("a", "still here")
            event = await other.next_event()
            assert event is not None
            assert event.data == "still here"
            async with open_stream(server.url, topics=["a"]) as late:
                await late.next_control("connected")
