"""The benchmark's load program, against servers that send all forms of its protocols."""

import itertools
import socket
import ssl
from typing import Any

import hyperframe.frame
import pytest
import trio
import trustme
import wsproto
from wsproto.events import CloseConnection, Ping, TextMessage

from tests.support.native_peers import (
    CHUNKED_HEAD,
    DEADLINE_SECONDS,
    Handler,
    HTTP2Peer,
    WebSocketPeer,
    answering,
    block,
    chunked,
    data_of,
    hold,
    read_head,
    run_load,
    serve,
    switching_protocols,
)

CLEAN = {"missing": 0, "repeated": 0, "disordered": 0, "closed": 0}
# Maximum size of a read (bytes): splits at every position, at some, and at none.
PIECES = pytest.mark.parametrize("read_bytes", [1, 3, 1_000, 262_144])
# All forms of an event: lines that end with CR LF, comments, other fields, data quoted as JSON.
FORMS = [
    block(0, 7),
    b": a comment, bench 7 7 \n\n",
    b"event: x\r\nid: 1\r\ndata:" + data_of(1, 300) + b"\r\n\r\n",
    b'data: "' + data_of(2) + b'"\n\n',
    b"event: heartbeat\ndata: {}\n\n",
    b'data: {"id": 3, "data": "' + data_of(3, 1_200) + b'"}\nid: 3\n\n',
    block(4, 0),
]


async def outcome(handler: Handler, protocol: str, *options: str, **counts: int) -> dict[str, Any]:
    """Run the load program, check its "connected" line and its status, and return its "done" line."""
    async with (
        serve(handler) as port,
        run_load(port, protocol, *options, **counts) as load,
    ):
        connected = await load.line()
        assert connected["event"] == "connected"
        assert connected["seconds"] > 0
        done = await load.line()
        assert done["event"] == "done"
        assert await load.finish() == 0
        return done


async def rejection(handler: Handler, protocol: str, *options: str) -> str:
    """Return the error of a load program that fails before it is connected."""
    async with serve(handler) as port, run_load(port, protocol, *options) as load:
        with pytest.raises(RuntimeError) as caught:
            await load.line()
        assert await load.finish() == 1
        return str(caught.value)


def counts(done: dict[str, Any]) -> dict[str, int]:
    return {name: done[name] for name in CLEAN}


# HTTP/1.1


@PIECES
async def test_chunks_may_be_split_at_any_position(read_bytes: int) -> None:
    body = b"".join(FORMS)
    sizes = [*range(1, 64, 2), 1_001]
    handler = answering(lambda client: CHUNKED_HEAD + chunked(body, itertools.repeat(sizes[client])))
    done = await outcome(handler, "h1", "--read-bytes", str(read_bytes), clients=len(sizes), events=5)
    assert done["deliveries"] == 5 * len(sizes)
    assert counts(done) == CLEAN


@PIECES
async def test_all_forms_of_chunks_are_parsed(read_bytes: int) -> None:
    """Several events in one chunk, an extension, digits in both cases, an end with a trailer."""
    body = b"".join(block(number) for number in range(100))
    split = body[:0xABC]
    answer = b"ABC ; name=value\r\n" + split + b"\r\n" + chunked(body[0xABC:], [0xABC, 100_000])
    handler = answering(lambda _: CHUNKED_HEAD + answer + b"000\r\nTrailer: x\r\n\r\n")
    done = await outcome(handler, "h1", "--read-bytes", str(read_bytes), clients=2, events=101)
    assert done["deliveries"] == 200
    assert counts(done) == CLEAN | {"missing": 2, "closed": 2}


@PIECES
async def test_a_body_without_chunks_lasts_until_the_close(read_bytes: int) -> None:
    handler = answering(lambda _: b"HTTP/1.0 200 OK\r\nX: y\r\n\r\n" + b"".join(FORMS), close=True)
    done = await outcome(handler, "h1", "--read-bytes", str(read_bytes), clients=2, events=6)
    assert done["deliveries"] == 10
    assert counts(done) == CLEAN | {"missing": 2, "closed": 2}


async def test_an_event_counts_once_its_empty_line_has_arrived() -> None:
    handler = answering(lambda _: b"HTTP/1.1 200 OK\r\n\r\n" + block(0) + block(1)[:-1], close=True)
    done = await outcome(handler, "h1", events=2)
    assert done["deliveries"] == 1
    assert counts(done) == CLEAN | {"missing": 1, "closed": 1}


async def test_broken_chunks_are_an_error() -> None:
    handler = answering(lambda _: CHUNKED_HEAD + b"3\r\nabcd\r\n")
    async with serve(handler) as port, run_load(port, "h1") as load:
        with pytest.raises(RuntimeError, match="chunked coding is broken"):
            while True:  # "connected" may come first; the error ends it
                await load.line()


# Counting


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ([0, 1, 2, 3], CLEAN),
        ([0, 1, 1, 2, 3], CLEAN | {"repeated": 1}),
        ([0, 1, 3], CLEAN | {"missing": 1, "disordered": 1, "closed": 1}),
        ([1, 2, 3], CLEAN | {"missing": 1, "disordered": 1, "closed": 1}),
        ([0, 2, 1, 3], CLEAN | {"disordered": 3}),
        ([0, 1, 0, 1, 2, 3], CLEAN | {"repeated": 2, "disordered": 1}),
        ([0, 1, 7], CLEAN | {"missing": 2, "disordered": 1, "closed": 1}),
        ([], CLEAN | {"missing": 4, "closed": 1}),
    ],
)
async def test_missing_repeated_and_disordered_events_are_counted(
    numbers: list[int], expected: dict[str, int]
) -> None:
    body = b"".join(map(block, numbers))
    handler = answering(lambda _: CHUNKED_HEAD + chunked(body, [len(body)]) + b"0\r\n\r\n")
    done = await outcome(handler, "h1", events=4)
    assert counts(done) == expected
    assert done["deliveries"] == 4 - expected["missing"]
    assert (done["p50_ns"] is None) == (not numbers)


async def test_percentiles_are_exact() -> None:
    """Each event is from another hour of the future, and the run takes less than a minute."""
    hour_ns = 3_600 * 10**9
    body = b"".join(block(number, ago_ns=-(1 + number * 7 % 1_000) * hour_ns) for number in range(1_000))
    done = await outcome(answering(lambda _: CHUNKED_HEAD + chunked(body, [10**6])), "h1", events=1_000)
    hours = [done[name] // hour_ns for name in ("p50_ns", "p99_ns", "p999_ns", "max_ns")]
    assert hours == [-500, -10, -1, -1]
    assert 0 < done["first_ns"] <= done["last_ns"]
    assert done["cpu_seconds"] >= 0


# TLS


@PIECES
@pytest.mark.parametrize("protocol", ["h1", "h2", "ws"])
async def test_events_arrive_over_tls(protocol: str, read_bytes: int) -> None:
    body = b"".join(block(number, 2_000) for number in range(20))
    messages = [TextMessage(data_of(number, 2_000).decode()) for number in range(20)]
    handlers: dict[str, Handler] = {
        "h1": answering(lambda _: CHUNKED_HEAD + chunked(body, itertools.repeat(777))),
        "h2": HTTP2Peer([body]),
        "ws": WebSocketPeer(lambda peer: b"".join(peer.send(message) for message in messages)),
    }
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["h2"] if protocol == "h2" else ["http/1.1"])
    trustme.CA().issue_cert("localhost").configure_cert(context)
    options = ["--tls", "--read-bytes", str(read_bytes)]
    async with (
        serve(handlers[protocol], context) as port,
        run_load(port, protocol, *options, clients=3, events=20) as load,
    ):
        assert (await load.line())["streams"] == 3
        done = await load.line()
        assert done["deliveries"] == 60
        assert counts(done) == CLEAN
        await load.again()
        assert (await load.line())["event"] == "connected"
        assert await load.finish() == 0


# WebSocket


@PIECES
async def test_websocket_frames_of_all_lengths_and_fragments_are_parsed(read_bytes: int) -> None:
    def answer(peer: wsproto.WSConnection) -> bytes:
        texts = [data_of(number, length).decode() for number, length in enumerate([50, 400, 70_000, 0, 90])]
        fragments = [TextMessage(letter, message_finished=False) for letter in texts[3]]
        return b"".join([
            *(peer.send(TextMessage(text)) for text in texts[:3]),
            *(peer.send(fragment) + peer.send(Ping(b"between")) for fragment in fragments),
            peer.send(TextMessage("", message_finished=True)),
            peer.send(TextMessage('{"type":"x","data":"' + texts[4] + '"}')),
        ])  # fmt: skip

    peer = WebSocketPeer(answer)
    done = await outcome(peer, "ws", "--read-bytes", str(read_bytes), clients=2, events=5)
    assert done["deliveries"] == 10
    assert counts(done) == CLEAN


async def test_websocket_ping_and_close_are_answered() -> None:
    def answer(peer: wsproto.WSConnection) -> bytes:
        text = peer.send(TextMessage(data_of(0).decode()))
        return peer.send(Ping(b"p" * 125)) + text + peer.send(CloseConnection(1001, "so long"))

    peer = WebSocketPeer(answer)
    done = await outcome(peer, "ws", events=2)
    assert counts(done) == CLEAN | {"missing": 1, "closed": 1}
    assert peer.pongs == [b"p" * 125]
    assert peer.closes == [1001]


# HTTP/2


@pytest.mark.parametrize("read_bytes", [pytest.param(1, marks=pytest.mark.soak), 5, 262_144])
async def test_http2_windows_are_updated(read_bytes: int) -> None:
    """Bodies larger than the windows, in padded frames that split events, on interleaved streams."""
    bodies = [b"".join(block(number, 500 + 7 * stream) for number in range(100)) for stream in range(5)]
    peer = HTTP2Peer(bodies)
    options = ["--streams", "5", "--read-bytes", str(read_bytes)]
    done = await outcome(peer, "h2", *options, clients=2, events=100)
    assert done["deliveries"] == 1_000
    assert counts(done) == CLEAN
    assert (peer.pings, peer.settings) == (2, 2)
    assert peer.updates >= 2 * (5 + 15)  # two for each body of 50 kB, and at least 15 for their sum


async def test_http2_streams_end_by_end_stream_reset_and_goaway() -> None:
    ending = hyperframe.frame.DataFrame(1, b"", flags=["END_STREAM"])
    reset = hyperframe.frame.RstStreamFrame(3, error_code=2)
    going_away = hyperframe.frame.GoAwayFrame(0, last_stream_id=5)
    last = hyperframe.frame.DataFrame(5, block(1))
    frames = [ending, reset, going_away, last]
    peer = HTTP2Peer([block(0)] * 4, last=b"".join(frame.serialize() for frame in frames))
    done = await outcome(peer, "h2", "--streams", "4", events=2)
    assert done["deliveries"] == 5
    assert counts(done) == CLEAN | {"missing": 3, "closed": 3}


# Errors


async def test_another_status_is_an_error() -> None:
    unavailable = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
    assert "503 Service Unavailable" in await rejection(answering(lambda _: unavailable), "h1")
    assert "200 OK" in await rejection(answering_any(b"HTTP/1.1 200 OK\r\n\r\n"), "ws")
    wrong_key = switching_protocols(b"Sec-WebSocket-Key: other\r\n")
    assert "did not accept" in await rejection(answering_any(wrong_key), "ws")
    assert "other than 200" in await rejection(HTTP2Peer([b""], status="404"), "h2")
    assert "other than 200" in await rejection(HTTP2Peer([b""], status="503"), "h2")
    assert "before its answer" in await rejection(answering(lambda _: b"", close=True), "h1")


def answering_any(answer: bytes) -> Handler:
    async def handler(stream: trio.abc.Stream) -> None:
        await read_head(stream)
        await stream.send_all(answer)
        await hold(stream)

    return handler


async def test_a_closed_port_is_an_error() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        async with run_load(unused.getsockname()[1], "h1") as load:
            with pytest.raises(RuntimeError, match="connect: Connection refused"):
                await load.line()


# Clients that stall, reconnect, and connect slowly


async def test_a_stalled_client_stays_connected_and_does_not_read() -> None:
    counter = itertools.count()
    sent: set[int] = set()
    broken: set[int] = set()
    two_sent = trio.Event()
    body = b"".join(block(number, 100_000) for number in range(200))

    async def handler(stream: trio.abc.Stream) -> None:
        number = next(counter)
        await read_head(stream)
        try:
            await stream.send_all(CHUNKED_HEAD + chunked(body, itertools.repeat(50_000)))
            sent.add(number)
            if len(sent) == 2:
                two_sent.set()
        except trio.BrokenResourceError:
            broken.add(number)
        await hold(stream)

    options = ["--stalled", "2", "--ramp", "1"]
    async with serve(handler) as port, run_load(port, "h1", *options, clients=4, events=200) as load:
        assert (await load.line())["streams"] == 4
        done = await load.line()
        assert done["deliveries"] == 400
        assert counts(done) == CLEAN
        await two_sent.wait()
        assert (sent, broken) == ({2, 3}, set())


@pytest.mark.parametrize("protocol", ["h1", "h2", "ws"])
@pytest.mark.parametrize("connect_only", [True, False])
async def test_again_closes_all_connections_and_reconnects(protocol: str, connect_only: bool) -> None:
    """After the first time no event is counted, and there is no second "done"."""
    opened, closed = itertools.count(), itertools.count()
    inner: dict[str, Handler] = {
        "h1": answering(lambda _: CHUNKED_HEAD + chunked(block(0), [1_000])),
        "h2": HTTP2Peer([block(0)]),
        "ws": WebSocketPeer(lambda peer: peer.send(TextMessage(data_of(0).decode()))),
    }

    async def handler(stream: trio.abc.Stream) -> None:
        next(opened)
        await inner[protocol](stream)
        next(closed)
        if next(leaving) == 9:
            all_left.set()

    leaving, all_left = itertools.count(), trio.Event()
    options = ["--connect-only"] if connect_only else []
    async with serve(handler) as port, run_load(port, protocol, *options, clients=5, events=1) as load:
        events = [(await load.line())["event"] for _ in range(2 - connect_only)]
        assert events == ["connected", "done"][: 2 - connect_only]
        for _ in range(2):
            await load.again()
            assert (await load.line())["event"] == "connected"
        await all_left.wait()
        assert next(opened) == 15
        assert next(closed) == 10
        assert await load.finish() == 0


async def test_at_most_ramp_connections_wait_for_an_answer() -> None:
    """Connections are begun before requests are sent: a fifth one would arrive with the last request."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        async with run_load(port, "h1", "--ramp", "4", "--connect-only", clients=10) as load:
            clients = await trio.to_thread.run_sync(answer_in_turn, listener, 4, 10)
            assert (await load.line())["streams"] == 10
            assert await load.finish() == 0
        for client in clients:
            client.close()


def answer_in_turn(listener: socket.socket, ramp: int, clients: int) -> list[socket.socket]:
    """Answer one client each time exactly ``ramp`` of them wait; return the clients."""
    accepted: list[socket.socket] = []
    for answered in range(clients):
        listener.settimeout(DEADLINE_SECONDS)
        while len(accepted) < min(answered + ramp, clients):
            client, _ = listener.accept()
            client.settimeout(DEADLINE_SECONDS)
            accepted.append(client)
            assert client.recv(1_000).endswith(b"\r\n\r\n")
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()
        accepted[answered].sendall(CHUNKED_HEAD)
    return accepted


async def test_partial_results_are_reported_at_the_deadline() -> None:
    handler = answering(lambda _: CHUNKED_HEAD + chunked(block(0), [1_000]))
    done = await outcome(handler, "h1", "--deadline", "0.5", clients=2, events=2)
    assert counts(done) == CLEAN | {"missing": 2}
