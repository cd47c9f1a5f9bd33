"""Listening sockets: options of accepted sockets, and errors."""

import errno
import os
import socket
from functools import partial
from typing import Any

import attrs
import pytest
import trio

from streamd.errors import ConfigError
from streamd.server import check_addresses, open_sockets, serve
from streamd.server.settings import ServerSettings
from streamd.settings import Settings
from streamd.transports.asgi import CONNECTION_EXTENSION

OPTIONS = {
    "user_timeout": socket.TCP_USER_TIMEOUT,
    "notsent_lowat": socket.TCP_NOTSENT_LOWAT,
    "nodelay": socket.TCP_NODELAY,
}


def with_server(**values: Any) -> Settings:
    settings = Settings()
    return attrs.evolve(settings, server=attrs.evolve(settings.server, bind=["127.0.0.1:0"], **values))


async def answer_options(scope: Any, receive: Any, send: Any) -> None:
    """Answer a request with the options of its socket."""
    if scope["type"] == "lifespan":
        while (message := await receive())["type"] != "lifespan.shutdown":
            await send({"type": message["type"] + ".complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    sock = scope["extensions"][CONNECTION_EXTENSION]._client._sock
    values = " ".join(str(sock.getsockopt(socket.IPPROTO_TCP, option)) for option in OPTIONS.values())
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": f"<{values}>".encode()})


async def test_accepted_sockets_have_the_options() -> None:
    settings = with_server(tcp_user_timeout_ms=12_345, tcp_notsent_lowat_bytes=54_321)
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            [address] = await nursery.start(partial(serve, answer_options, settings.server))
            stream = await trio.open_tcp_stream("127.0.0.1", int(address.rpartition(":")[2]))
            async with stream:
                await stream.send_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                answer = b"".join([bytes(part) async for part in stream])
            nursery.cancel_scope.cancel()
    assert b"<12345 54321 1>" in answer


@pytest.mark.parametrize("certfile", ["", "nowhere.pem"])
async def test_an_error_names_the_address_or_the_certificate(certfile: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = with_server(certfile=certfile, keyfile=certfile)
        bind = [f"127.0.0.1:{taken.getsockname()[1]}"]
        settings = attrs.evolve(settings, server=attrs.evolve(settings.server, bind=bind))
        with pytest.raises(ConfigError) as raised:
            await serve(answer_options, settings.server)
    assert raised.value.field == ("server.certfile" if certfile else "server.bind")


# --- names ----------------------------------------------------------------------------------------


def addresses_of(sockets: list[socket.socket]) -> list[tuple[str, int]]:
    """Close listening sockets, and return their addresses."""
    found = []
    for sock in sockets:
        with sock:
            found.append(sock.getsockname()[:2])
    return found


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST", "localhost."])
def test_localhost_listens_on_both_families_on_one_port(name: str) -> None:
    first, second = addresses_of(open_sockets(ServerSettings(bind=[f"{name}:0"])))
    assert first == ("127.0.0.1", first[1])
    assert second == ("::1", first[1])
    assert addresses_of(open_sockets(ServerSettings(bind=[f"{name}:{first[1]}"]))) == [first, second]


def answer_lookup(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Let every name resolve to some addresses, each of them twice, as for several protocols."""

    def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
        family = {True: socket.AF_INET6, False: socket.AF_INET}
        return [(family[":" in each], 1, 6, "", (each, port)) for each in (*addresses, *addresses)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def test_a_name_listens_on_each_of_its_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    answer_lookup(monkeypatch, "::1", "127.0.0.1", "127.0.0.2")
    found = addresses_of(open_sockets(ServerSettings(bind=["both.example:0"])))
    assert [host for host, _ in found] == ["127.0.0.1", "127.0.0.2", "::1"]
    assert len({port for _, port in found}) == 1


def without(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Let the machine have no IPv6: either no family at all, or no address of it."""
    bind, create = socket.socket.bind, socket.socket.__init__

    def bind_ipv4(sock: socket.socket, address: Any) -> None:
        if number == errno.EADDRNOTAVAIL and sock.family == socket.AF_INET6:
            raise OSError(number, os.strerror(number))
        bind(sock, address)

    def create_ipv4(sock: socket.socket, family: int = -1, *others: Any, **named: Any) -> None:
        if number == errno.EAFNOSUPPORT and family == socket.AF_INET6:
            raise OSError(number, os.strerror(number))
        create(sock, family, *others, **named)

    monkeypatch.setattr(socket.socket, "bind", bind_ipv4)
    monkeypatch.setattr(socket.socket, "__init__", create_ipv4)


@pytest.mark.parametrize("number", [errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL])
def test_a_machine_without_ipv6_listens_on_the_other_family(
    monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    without(monkeypatch, number)
    settings = ServerSettings(bind=["localhost:0"])
    assert list(check_addresses(settings)) == []
    [(host, _)] = addresses_of(open_sockets(settings))
    assert host == "127.0.0.1"
    with pytest.raises(ConfigError, match="cannot listen on"):
        open_sockets(ServerSettings(bind=["[::1]:0"]))


def test_a_port_that_is_taken_on_one_family_is_an_error() -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match="in use"):
            open_sockets(ServerSettings(bind=[f"localhost:{port}"]))
        with socket.create_server(("127.0.0.1", port)):
            pass  # nothing was left open


def test_a_chosen_port_is_free_on_both_families(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another port is chosen if that of the first address is taken on the second."""
    bind, tries = socket.socket.bind, []

    def bind_at_last(sock: socket.socket, address: Any) -> None:
        if sock.family == socket.AF_INET6:
            tries.append(address[1])
            if len(tries) < 3:
                raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        bind(sock, address)

    monkeypatch.setattr(socket.socket, "bind", bind_at_last)
    found = addresses_of(open_sockets(ServerSettings(bind=["localhost:0"])))
    assert [port for _, port in found] == [tries[-1]] * 2
    assert len(tries) == 3


@pytest.mark.parametrize("other", ["127.0.0.1", "[::1]", "LOCALHOST"])
def test_addresses_that_a_name_has_already_are_reported(other: str) -> None:
    [(_, port), _] = addresses_of(open_sockets(ServerSettings(bind=["localhost:0"])))
    binds = [f"localhost:{port}", f"{other}:{port}"]
    [error] = check_addresses(ServerSettings(bind=binds))
    assert error.detail == f"server.bind: {binds[1]} is the same address as {binds[0]}"
