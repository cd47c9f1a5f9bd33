"""The client's address, scheme and URL prefix in a scope, behind trusted proxies and others."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.proxies import FORWARDING, TCP_PROXY, Forwarding, resolve_clients, route_path

PROXY, OUTER_PROXY, CLIENT, OTHER = "10.0.0.1", "10.0.0.2", "192.0.2.7", "198.51.100.1"
TRUSTED = ["10.0.0.0/8", "fd00::/8"]
Headers = Sequence[tuple[str, str]]


async def resolve(
    headers: Headers = (),
    *,
    peer: str | None = PROXY,
    trusted: Sequence[str] = TRUSTED,
    own_prefix: str = "",
    tcp_proxy: str | None = None,
    sent: list[Any] | None = None,
    **scope: Any,
) -> dict[str, Any]:
    """Return the scope that an application receives."""
    received: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        received.append(scope)

    async def send(message: Any) -> None:
        assert sent is not None
        sent.append(message)

    full = {
        "type": "http",
        "scheme": "http",
        "path": "/events",
        "root_path": "",
        "query_string": b"",
        "headers": [(name.encode(), value.encode("latin1")) for name, value in headers],
        "client": None if peer is None else (peer, 40_000),
        **scope,
    }
    if tcp_proxy is not None:
        full[TCP_PROXY] = tcp_proxy
    await resolve_clients(app, trusted, own_prefix)(full, None, send)
    return received[0] if received else {}


def forwarded_for(*values: str) -> Headers:
    return [("x-forwarded-for", value) for value in values]


def forwarded(*values: str) -> Headers:
    return [("forwarded", value) for value in values]


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (forwarded_for(CLIENT), (CLIENT, 0)),
        (forwarded_for(f"{CLIENT}:5000"), (CLIENT, 5000)),
        (forwarded_for(f"{OTHER}, {CLIENT}"), (CLIENT, 0)),
        (forwarded_for(f"{OTHER}, {CLIENT}, {OUTER_PROXY}"), (CLIENT, 0)),
        (forwarded_for(OTHER, CLIENT, OUTER_PROXY), (CLIENT, 0)),
        (forwarded_for(f"{OTHER},{CLIENT} , ,"), (CLIENT, 0)),
        (forwarded_for(f"gibberish, {CLIENT}"), (CLIENT, 0)),
        (forwarded_for("10.9.9.9, 10.0.0.3"), ("10.9.9.9", 0)),  # all are trusted: the farthest
        (forwarded_for("2001:db8::7"), ("2001:db8::7", 0)),
        (forwarded_for(f"::ffff:{CLIENT}"), (CLIENT, 0)),
        (forwarded(f"for={CLIENT}"), (CLIENT, 0)),
        (forwarded(f'for="{CLIENT}:5000"'), (CLIENT, 5000)),
        (forwarded(f'for={OTHER};by=x, for="{CLIENT}";proto=https'), (CLIENT, 0)),
        (forwarded(f'for=_hidden, for={CLIENT}, for="[fd00::1]:99"'), (CLIENT, 0)),
        (forwarded('for="[2001:db8::7]:5000"'), ("2001:db8::7", 5000)),
        (forwarded('for="', f"for={CLIENT}"), (CLIENT, 0)),  # a quote that a client left open
        ([*forwarded(f"for={CLIENT}"), *forwarded_for(CLIENT)], (CLIENT, 0)),
    ],
)
async def test_the_client_is_the_first_from_the_right_that_is_not_trusted(
    headers: Headers, expected: tuple[str, int]
) -> None:
    scope = await resolve(headers)
    assert scope["client"] == expected
    assert scope[FORWARDING].is_named


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ((), PROXY),
        (forwarded_for(""), PROXY),
        (forwarded_for("gibberish"), PROXY),
        (forwarded_for(f"{CLIENT}, unknown"), PROXY),
        (forwarded_for(f"{CLIENT}, {OUTER_PROXY}:x"), PROXY),
        (forwarded_for(f"{CLIENT}, x, {OUTER_PROXY}"), OUTER_PROXY),
        (forwarded_for("10.0.0.3," * 40 + CLIENT), CLIENT),
        (forwarded(f"for={CLIENT}, for=unknown"), PROXY),
        (forwarded(f"for={CLIENT}, for=_gateway, for={OUTER_PROXY}"), OUTER_PROXY),
        (forwarded(f"for={CLIENT}, proto=https"), PROXY),
        (forwarded(f'for={CLIENT}, for="'), PROXY),
        (forwarded("for=[2001:db8::7]"), PROXY),  # without quotes
        # A proxy that sets one of them passes the other on as the client wrote it.
        ([*forwarded(f"for={OTHER}"), *forwarded_for(CLIENT)], PROXY),
        ([*forwarded("for=127.0.0.1"), *forwarded_for(CLIENT)], PROXY),
        ([*forwarded(f"for={CLIENT}"), *forwarded_for("x")], PROXY),
    ],
)
async def test_otherwise_it_is_the_last_address_that_is_sure(headers: Headers, expected: str) -> None:
    scope = await resolve(headers)
    assert scope["client"][0] == expected
    assert scope[FORWARDING].is_named is (expected == CLIENT)


async def test_a_row_of_proxies_without_end_is_cut() -> None:
    scope = await resolve(forwarded_for(f"{CLIENT}, " + ", ".join(["10.0.0.3"] * 40)))
    assert scope["client"][0] == "10.0.0.3"
    assert not scope[FORWARDING].is_named
    assert len(scope[FORWARDING].proxies) == 32


@pytest.mark.parametrize("peer", [CLIENT, "127.0.0.1", None, "testclient"])
async def test_headers_of_other_peers_are_ignored(peer: str | None) -> None:
    headers = [
        *forwarded_for(OTHER),
        *forwarded(f"for={OTHER};proto=https"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-prefix", "/p"),
    ]
    scope = await resolve(headers, peer=peer)
    assert scope["client"] == (None if peer is None else (peer, 40_000))
    assert (scope["scheme"], scope["path"], scope["root_path"]) == ("http", "/events", "")
    assert scope[FORWARDING] == Forwarding()


async def test_a_unix_socket_is_trusted_by_its_word() -> None:
    scope = await resolve(forwarded_for(CLIENT), peer=None, trusted=["unix"])
    assert scope["client"] == (CLIENT, 0)
    assert scope[FORWARDING] == Forwarding(("",), is_named=True)


async def test_the_proxies_on_the_way_are_kept() -> None:
    scope = await resolve(forwarded_for(CLIENT, OUTER_PROXY), tcp_proxy="10.0.0.9")
    assert scope[FORWARDING] == Forwarding(("10.0.0.9", PROXY, OUTER_PROXY), is_named=True)
    scope = await resolve(forwarded_for(OTHER), peer=CLIENT, tcp_proxy="10.0.0.9")
    assert scope["client"][0] == CLIENT
    assert scope[FORWARDING] == Forwarding(("10.0.0.9",), is_named=False)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([("x-forwarded-proto", "https")], "https"),
        ([("x-forwarded-proto", "HTTPS")], "https"),
        ([("x-forwarded-proto", "http")], "http"),
        ([("x-forwarded-proto", "http, https")], "https"),  # the nearest proxy's
        ([("x-forwarded-proto", "https"), ("x-forwarded-proto", "http")], "http"),
        ([("x-forwarded-proto", "gopher")], "http"),
        ([("x-forwarded-proto", "")], "http"),
        (forwarded(f"for={CLIENT};proto=https"), "https"),
        (forwarded(f"for={CLIENT};proto=HTTPS, for={OUTER_PROXY};proto=http"), "https"),
        (forwarded(f"for={OTHER};proto=https, for={CLIENT};proto=http"), "http"),
        (forwarded(f"for={CLIENT};proto=ftp"), "http"),
    ],
)
async def test_the_scheme_is_the_clients(headers: Headers, expected: str) -> None:
    assert (await resolve(headers))["scheme"] == expected
    socket = await resolve(headers, type="websocket", scheme="ws")
    assert socket["scheme"] == expected.replace("http", "ws")


@pytest.mark.parametrize(
    ("header", "root_path", "path", "expected"),
    [
        ("/p", "", "/events", ("/p", "/p/events")),
        ("/p/", "", "/events", ("/p", "/p/events")),
        ("/p", "", "/p/events", ("/p", "/p/p/events")),
        ("", "/p", "/events", ("/p", "/p/events")),
        ("", "/p", "/p/events", ("/p", "/p/events")),
        ("", "/p", "/pevents", ("/p", "/p/pevents")),
        ("", "/p", "/p/p/events", ("/p", "/p/p/events")),
        ("", "/p", "/", ("/p", "/p/")),
        ("/q", "/p", "/events", ("/q", "/q/events")),
        ("/q", "/p", "/p/events", ("/q", "/q/events")),
        ("//evil.example", "", "/events", ("", "/events")),
        ("/..", "/p", "/events", ("/p", "/p/events")),
        ("/p", "", "http://a.example/events", ("/p", "/p/events")),
        ("/p", "", "http://a.example", ("/p", "/p/")),
    ],
)
async def test_the_path_begins_with_the_prefix(
    header: str, root_path: str, path: str, expected: tuple[str, str]
) -> None:
    headers = [("x-forwarded-prefix", header)] if header else []
    for kind in ("http", "websocket"):
        scope = await resolve(headers, own_prefix=root_path, path=path, type=kind)
        assert (scope["root_path"], scope["path"]) == expected
        assert f"{scope['root_path']}{route_path(scope)}" == scope["path"]


async def test_the_prefix_of_another_asgi_server_counts_as_the_setting() -> None:
    for path in ("/events", "/m/events"):
        scope = await resolve(root_path="/m", path=path)
        assert (scope["root_path"], scope["path"]) == ("/m", "/m/events")
        scope = await resolve([("x-forwarded-prefix", "/q")], root_path="/m", path=path)
        assert (scope["root_path"], scope["path"]) == ("/q", "/q/events")


async def test_the_prefix_itself_leads_to_the_page() -> None:
    for query, end in ((b"", b""), (b"topic=a", b"?topic=a")):
        sent: list[Any] = []
        assert await resolve(own_prefix="/p", path="/p", query_string=query, sent=sent) == {}
        assert sent[0]["status"] == 308
        assert sent[0]["headers"] == [(b"location", b"/p/" + end)]
        assert sent[1]["body"] == b""


async def test_an_application_that_is_wrapped_twice_resolves_once() -> None:
    received: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        received.append(scope)

    scope = {
        "type": "http",
        "scheme": "http",
        "path": "/events",
        "headers": [(b"x-forwarded-for", b"10.0.0.3"), (b"x-forwarded-prefix", b"/p")],
        "client": (PROXY, 1),
    }
    twice = resolve_clients(resolve_clients(app, TRUSTED, "/q"), TRUSTED, "/q")
    await twice(scope, None, None)
    assert received[0]["path"] == "/p/events"
    assert received[0][FORWARDING].proxies == (PROXY,)
    await twice({"type": "lifespan"}, None, None)
    assert received[1] == {"type": "lifespan"}


def test_nothing_is_wrapped_without_proxies_and_prefix() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        pass

    assert resolve_clients(app, []) is app


addresses = st.sampled_from([CLIENT, OTHER, PROXY, OUTER_PROXY, "2001:db8::1", "fd00::1"])


@given(st.lists(addresses, max_size=6), st.text('127.0,:_[]"=;for ', max_size=30), st.booleans())
async def test_nothing_that_a_client_sends_moves_the_walk_past_it(
    proxies: list[str], sent: str, standard: bool
) -> None:
    """The right end of the header is the proxies'; an untrusted address in it ends the walk."""
    truth = [*proxies, CLIENT]
    if standard:
        lines = [f'for="[{each}]"' if ":" in each else f"for={each}" for each in reversed(truth)]
        headers = forwarded(sent, *lines)
    else:
        headers = forwarded_for(sent, ", ".join(reversed(truth)))
    expected = next(each for each in truth if each not in (PROXY, OUTER_PROXY, "fd00::1"))
    scope = await resolve(headers)
    assert scope["client"][0] == expected
    assert scope[FORWARDING].is_named
