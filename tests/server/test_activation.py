"""Socket activation: listening sockets of the service manager."""

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from streamd.errors import ConfigError
from streamd.server import bind_of, take_activated


class Descriptors:
    """The descriptors from 3 on, as the service manager fills them; those of the test are put back."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, stack: ExitStack) -> None:
        self._monkeypatch = monkeypatch
        self._stack = stack

    def place(self, *sources: int) -> dict[str, str]:
        """Let the descriptors be free ones in a row, and return the variables that name them."""
        first = 700  # far above those in use
        for number, source in enumerate(sources, first):
            os.dup2(source, number, inheritable=True)
            self._stack.callback(close_quietly, number)
        self._monkeypatch.setattr("streamd.server.activation._FIRST", first)
        return {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(sources)), "HOME": "/"}


def close_quietly(number: int) -> None:
    try:
        os.close(number)
    except OSError:
        pass


@pytest.fixture
def descriptors(monkeypatch: pytest.MonkeyPatch) -> Iterator[Descriptors]:
    with ExitStack() as stack:
        yield Descriptors(monkeypatch, stack)


def test_sockets_are_taken_over_once_and_not_passed_on(descriptors: Descriptors, tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.create_server(("::1", 0), family=socket.AF_INET6) as tcp6,
        socket.socket(socket.AF_UNIX) as unix,
    ):
        unix.bind(str(path))
        unix.listen()
        environ = descriptors.place(tcp.fileno(), tcp6.fileno(), unix.fileno())
        environ["LISTEN_FDNAMES"] = "web:web:local"
        taken = take_activated(environ)
        assert [bind_of(sock) for sock in taken] == [
            f"127.0.0.1:{tcp.getsockname()[1]}",
            f"[::1]:{tcp6.getsockname()[1]}",
            f"unix:{path}",
        ]
        assert not any(sock.get_inheritable() for sock in taken)
        assert environ == {"HOME": "/"}
        assert take_activated(environ) == []
        for sock in taken:
            sock.close()
    assert path.exists()  # the service manager's


@pytest.mark.parametrize("process", ["1", "", "0x1", "the next"])
def test_sockets_of_another_process_are_left_alone(process: str) -> None:
    number = str(os.getpid() + 1) if process == "the next" else process
    environ = {"LISTEN_PID": number, "LISTEN_FDS": "1"}
    assert take_activated(environ) == []
    assert environ == {}


@pytest.mark.parametrize("count", ["-1", "one", "1.5", "99999", "²"])
def test_a_malformed_number_is_an_error(count: str) -> None:
    with pytest.raises(ConfigError, match="LISTEN_FDS"):
        take_activated({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": count})


@pytest.mark.parametrize("kind", ["closed", "pipe", "connected", "datagram", "abstract"])
def test_a_descriptor_that_is_no_listening_socket_is_an_error(descriptors: Descriptors, kind: str) -> None:
    with ExitStack() as stack:
        if kind == "pipe":
            numbers = os.pipe()
            for number in numbers:
                stack.callback(os.close, number)
            number = numbers[0]
        elif kind == "datagram":
            number = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)).fileno()
        elif kind == "abstract":
            sock = stack.enter_context(socket.socket(socket.AF_UNIX))
            sock.bind(f"\0streamd-test-{os.getpid()}")
            sock.listen()
            number = sock.fileno()
        else:
            one, two = socket.socketpair()
            stack.enter_context(one)
            stack.enter_context(two)
            number = one.fileno()
        good = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        environ = descriptors.place(good.fileno(), number)
        environ["LISTEN_FDNAMES"] = "good:bad"
        if kind == "closed":
            os.close(701)
        with pytest.raises(ConfigError, match=r": bad$|descriptor that is no socket: bad$|Accept=no"):
            take_activated(environ)
