"""The clients of the services' streams: parsing, times, and counting."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from socket import create_server, socket
from subprocess import Popen

import pytest

from bench.clients import Outcome
from bench.peers import Running, Streamd
from bench.scenarios.followers import Delivery, Followers, count, read_event
from bench.scenarios.reader import Stream

HEAD = b"HTTP/1.1 200 \r\ncontent-type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def event(number: int) -> bytes:
    return b'id: 0000000000005-%06d\nevent: progress\ndata: {"version":%d}\n\n' % (number, number)


def versions(stream: Stream) -> list[int]:
    return [read_event(*each).data["version"] for each in stream.events]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 60, 1000])
def test_a_stream_is_parsed_from_any_split(size: int) -> None:
    # One event in two chunks, two events in one, and a chunk that ends with the begin of the next event.
    body = chunk(event(1)[:20]) + chunk(event(1)[20:]) + chunk(event(2) + event(3) + event(4)[:9])
    answer = HEAD + body + chunk(event(4)[9:])
    stream = Stream()
    for start in range(0, len(answer), size):
        stream.receive(answer[start : start + size], start)
    assert versions(stream) == [1, 2, 3, 4]
    assert not stream.ended
    for start in range(0, len(END), size):
        stream.receive(END[start : start + size], start)
    assert versions(stream) == [1, 2, 3, 4]
    assert stream.ended


def test_an_event_has_the_time_of_the_read_that_completed_it() -> None:
    stream = Stream()
    parts = chunk(event(1) + event(2)[:-1]), chunk(event(2)[-1:])
    stream.receive(HEAD, 10)
    stream.receive(parts[0], 20)
    stream.receive(parts[1][:3], 30)
    assert [time for time, _ in stream.events] == [20]
    stream.receive(parts[1][3:], 40)
    assert [time for time, _ in stream.events] == [20, 40]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 503 \r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\nhello",
        b"",
    ],
)
def test_an_answer_that_is_no_stream_is_an_error(answer: bytes) -> None:
    with pytest.raises(RuntimeError):
        Stream().receive(answer, 0)


def counted(*clients: Sequence[int], expected: Sequence[int] = (1, 2, 3, 4)) -> Outcome:
    seen = [[Delivery(1_000_000 * each, "", "progress", each) for each in client] for client in clients]
    return count(
        seen, [expected] * len(clients), lambda each: each.data or None, lambda each: 10.0 * each.data
    )


def losses(outcome: Outcome) -> tuple[int, int, int]:
    return outcome.missing, outcome.repeated, outcome.disordered


@pytest.mark.parametrize(
    ("client", "loss"),
    [
        ((1, 2, 3, 4), (0, 0, 0)),
        ((1, 2, 0, 3, 4), (0, 0, 0)),  # a heartbeat is not counted
        ((1, 2, 3), (1, 0, 0)),
        ((1, 3, 4), (1, 0, 1)),
        ((1, 2, 2, 3, 4), (0, 1, 0)),
        ((1, 2, 3, 4, 2), (0, 1, 1)),
        ((1, 3, 2, 4), (0, 0, 3)),
        ((1, 2, 3, 4, 5), (0, 0, 1)),  # never published
    ],
)
def test_missing_repeated_and_disordered_events_are_counted(
    client: Sequence[int], loss: tuple[int, int, int]
) -> None:
    assert losses(counted(client)) == loss
    # A second client that has all events does not hide them.
    assert losses(counted((1, 2, 3, 4), client)) == loss


def test_delays_are_exact() -> None:
    all_events = range(1, 1001)
    outcome = counted(all_events, expected=all_events)
    assert (outcome.deliveries, outcome.first_ns, outcome.last_ns) == (1000, 1_000_000, 1_000_000_000)
    assert (outcome.p50_ns, outcome.p99_ns, outcome.max_ns) == (5_010_000_000, 9_910_000_000, 10_000_000_000)


def test_a_repeated_event_counts_with_its_first_delay() -> None:
    early, late = Delivery(1, "", "progress", 5), Delivery(9, "", "progress", 5)
    outcome = count([[early, late]], [[5]], lambda each: each.data, lambda each: each.read_ns)
    assert (outcome.deliveries, outcome.max_ns) == (1, 1_000_000)


def test_no_event_at_all_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="no event"):
        counted(())


@contextmanager
def serving(*answers: bytes) -> Iterator[Running]:
    """Run a server that sends one answer to each client, in order, and keeps all connections open."""
    with create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for answer in answers:
                connection, _ = listener.accept()
                connections.append(connection)
                connection.recv(65_536)
                connection.sendall(answer)

        connections: list[socket] = []
        thread = threading.Thread(target=serve)
        thread.start()
        with Popen(["sleep", "60"]) as process:  # a process to sample
            try:
                yield Running(Streamd(), process, listener.getsockname()[1], tls=False)
            finally:
                process.kill()
                thread.join()
                for connection in connections:
                    connection.close()


def test_the_program_reports_the_events_of_each_client() -> None:
    whole = HEAD + b"".join(chunk(event(number)) for number in (1, 2, 3))
    cut = HEAD + chunk(event(1)) + END
    twice = HEAD + chunk(event(1) + event(3) + event(3))
    with serving(whole, cut, twice) as server, Followers(server, ["/"] * 3, 20) as followers:
        followers.connected()
        followers.until('{"version":3}')
        seen = followers.done()
    assert [[each.data["version"] for each in client] for client in seen.clients] == [
        [1, 2, 3],
        [1],
        [1, 3, 3],
    ]
    assert seen.closed == 1
    outcome = count(seen.clients, [[1, 2, 3]] * 3, lambda each: each.data["version"], lambda _: 1.0)
    assert (outcome.deliveries, *losses(outcome)) == (6, 3, 1, 1)
    # The ids have times of 1970, and the reads have the current wall clock.
    assert seen.after_publishing_ms(seen.clients[0][0]) > 50 * 365 * 86_400_000


def test_a_rejected_client_ends_the_run_with_the_reason() -> None:
    answer = b"HTTP/1.1 503 \r\nContent-Length: 4\r\n\r\nfull"
    with serving(answer) as server, Followers(server, ["/"], 20) as followers:
        with pytest.raises(RuntimeError, match="503"):
            followers.connected()


def test_events_after_the_deadline_are_missing() -> None:
    answer = HEAD + chunk(event(1))
    with serving(answer) as server, Followers(server, ["/"], 1, last='{"version":2}') as followers:
        followers.connected()
        [client] = followers.done().clients
    assert [each.data["version"] for each in client] == [1]
