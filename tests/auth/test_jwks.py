"""Keys of an issuer, fetched from a server on the loopback interface."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest
import trio
import trio.testing

from streamd.auth.generate import public_jwk
from streamd.auth.jwks import FETCH_TIMEOUT_SECONDS, MAX_ANSWER_BYTES, MIN_INTERVAL_SECONDS, REFRESH_SECONDS
from streamd.auth.tokens import TokenVerifier
from streamd.errors import InvalidToken, Unavailable
from tests.support.clocks import socket_clock
from tests.support.fake_server import Answer, Exchange, FakeServer, fake_server, hang, respond
from tests.support.tokens import NOW, auth_settings, forge, jwk_of, key_of, make_token

RSA: Final = jwk_of("RS256")
OLD, NEW = jwk_of("ES256", 0), jwk_of("ES256", 1)
OLD_TOKEN, NEW_TOKEN = make_token(key=key_of("ES256", 0)), make_token(key=key_of("ES256", 1))


@pytest.fixture
def clock() -> trio.testing.MockClock:
    return socket_clock()


def key_set(*jwks: dict[str, Any]) -> Answer:
    return respond(200, json.dumps({"keys": [public_jwk(jwk) for jwk in jwks]}).encode())


@asynccontextmanager
async def verifier_of(server: FakeServer, **settings: Any) -> AsyncIterator[TokenVerifier]:
    """Run a verifier of the keys that a server publishes, while the block lasts."""
    url = f"{server.url}/jwks"
    verifier = TokenVerifier(auth_settings(**{"jwks_url": url, **settings}), clock=lambda: NOW)
    async with trio.open_nursery() as nursery:
        await nursery.start(verifier.run)
        yield verifier
        nursery.cancel_scope.cancel()


async def refusal(verifier: TokenVerifier, token: str) -> str:
    with pytest.raises(InvalidToken) as caught:
        await verifier.verify(token)
    return caught.value.detail


async def test_a_token_waits_for_the_first_fetch(clock: trio.testing.MockClock) -> None:
    async with fake_server(key_set(RSA, OLD)) as server, verifier_of(server) as verifier:
        assert (await verifier.verify(OLD_TOKEN)).user == "ada"
        assert (await verifier.verify(make_token(key=key_of("RS256")))).user == "ada"
        assert len(server.requests) == 1
        assert server.requests[0].path == "/jwks"


async def test_a_token_without_a_key_id_waits_for_the_first_fetch(clock: trio.testing.MockClock) -> None:
    token = forge({"alg": "ES256"}, key=key_of("ES256"))
    async with fake_server(key_set(NEW, OLD)) as server, verifier_of(server) as verifier:
        assert (await verifier.verify(token)).user == "ada"


async def test_a_secret_needs_no_fetch(clock: trio.testing.MockClock) -> None:
    async with fake_server(hang) as server, verifier_of(server) as verifier:
        with trio.fail_after(0.01):
            assert (await verifier.verify(make_token())).user == "ada"


async def test_a_new_key_is_fetched_by_the_first_token_that_names_it(clock: trio.testing.MockClock) -> None:
    async with fake_server(key_set(OLD), key_set(OLD, NEW)) as server, verifier_of(server) as verifier:
        await verifier.verify(OLD_TOKEN)
        await trio.sleep(MIN_INTERVAL_SECONDS)
        assert (await verifier.verify(NEW_TOKEN)).user == "ada"
        assert (await verifier.verify(OLD_TOKEN)).user == "ada"
        assert len(server.requests) == 2


async def test_concurrent_callers_wait_for_one_fetch(clock: trio.testing.MockClock) -> None:
    async with fake_server(key_set(OLD), key_set(NEW)) as server, verifier_of(server) as verifier:
        await verifier.verify(OLD_TOKEN)
        await trio.sleep(MIN_INTERVAL_SECONDS)
        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(verifier.verify, make_token(key=key_of("ES256", 1), n=number))
        assert len(server.requests) == 2


async def test_unknown_keys_cause_a_bounded_number_of_fetches(clock: trio.testing.MockClock) -> None:
    async with fake_server(key_set(OLD)) as server, verifier_of(server) as verifier:
        await verifier.verify(OLD_TOKEN)
        began = trio.current_time()
        for number in range(20):
            token = forge({"alg": "ES256", "kid": f"k{number}"}, key=key_of("ES256", 1))
            assert "not known" in await refusal(verifier, token)
            await trio.sleep(1)
        seconds = trio.current_time() - began
        assert 3 <= len(server.requests) <= 2 + seconds / MIN_INTERVAL_SECONDS


async def test_a_removed_key_no_longer_verifies(clock: trio.testing.MockClock) -> None:
    async with fake_server(key_set(OLD, NEW), key_set(NEW)) as server, verifier_of(server) as verifier:
        await verifier.verify(OLD_TOKEN)
        await trio.sleep(REFRESH_SECONDS + 1)
        await verifier.verify(NEW_TOKEN)
        assert "not known" in await refusal(verifier, OLD_TOKEN)


async def test_all_keys_can_be_removed(clock: trio.testing.MockClock) -> None:
    async with fake_server(key_set(OLD), key_set()) as server, verifier_of(server) as verifier:
        await verifier.verify(OLD_TOKEN)
        await trio.sleep(2 * REFRESH_SECONDS)
        assert "not known" in await refusal(verifier, OLD_TOKEN)


BROKEN: Final[dict[str, Answer]] = {
    "an error": respond(500, b"{}"),
    "not found": respond(404, b'{"keys": []}'),
    "a redirect": respond(302, b"", {"Location": "/other"}),
    "no JSON": respond(200, b"<html>"),
    "no set": respond(200, b"[]"),
    "no keys": respond(200, b'{"key": []}'),
    "a member twice": respond(200, b'{"keys": [], "keys": []}'),
    "too many keys": key_set(*[OLD] * 33),
    "too large": respond(200, b" " * (MAX_ANSWER_BYTES + 1)),
    "cut off": respond(200, b'{"keys": []}', content_length=99),
    "silence": hang,
    "a trickle": respond(200, [b" ", FETCH_TIMEOUT_SECONDS, b'{"keys": []}']),
}


@pytest.mark.parametrize("kind", BROKEN)
async def test_keys_are_kept_while_the_source_fails(clock: trio.testing.MockClock, kind: str) -> None:
    async with (
        fake_server(key_set(OLD), BROKEN[kind], BROKEN[kind], key_set(NEW)) as server,
        verifier_of(server) as verifier,
    ):
        await verifier.verify(OLD_TOKEN)
        await trio.sleep(REFRESH_SECONDS)
        await server.wait_for_requests(2)
        with pytest.raises(Unavailable) as caught:
            await verifier.verify(NEW_TOKEN)
        assert caught.value.retry_after_seconds == MIN_INTERVAL_SECONDS
        assert (await verifier.verify(OLD_TOKEN)).user == "ada"
        await server.wait_for_requests(4)
        await trio.sleep(1)
        assert (await verifier.verify(NEW_TOKEN)).user == "ada"
        assert "not known" in await refusal(verifier, OLD_TOKEN)


async def test_a_server_starts_while_its_issuer_is_down(clock: trio.testing.MockClock) -> None:
    async with fake_server(key_set(OLD)) as server:
        await server.stop()
        async with verifier_of(server) as verifier:
            with pytest.raises(Unavailable):
                await verifier.verify(OLD_TOKEN)
            assert (await verifier.verify(make_token())).user == "ada"
            await server.start()
            await server.wait_for_requests(1)
            await trio.sleep(1)
            assert (await verifier.verify(OLD_TOKEN)).user == "ada"


async def test_a_failing_source_is_asked_less_and_less_often(clock: trio.testing.MockClock) -> None:
    async with fake_server(respond(503)) as server, verifier_of(server):
        await trio.sleep(3600)
        assert 10 <= len(server.requests) <= 24


async def test_keys_for_other_purposes_are_left_out(clock: trio.testing.MockClock) -> None:
    jwks: list[Any] = [
        {**public_jwk(OLD), "use": "enc"},
        {**public_jwk(OLD), "alg": "ES512"},
        {**public_jwk(OLD), "key_ops": ["encrypt"]},
        {**jwk_of("HS256")},
        {"kty": "AKP"},
        {"kty": "RSA", "n": "AQAB", "e": "AQAB"},
        "text",
        {name: value for name, value in public_jwk(NEW).items() if name not in ("alg", "use")},
    ]
    published = respond(200, json.dumps({"keys": jwks}).encode())
    async with fake_server(published) as server, verifier_of(server, keys=[]) as verifier:
        assert (await verifier.verify(NEW_TOKEN)).user == "ada"
        assert len(verifier.keys.keys) == 1
        assert "not known" in await refusal(verifier, OLD_TOKEN)
        assert "no key for the algorithm" in await refusal(
            verifier, forge({"alg": "HS256"}, key=key_of("HS256"))
        )


async def test_a_published_private_key_only_verifies(clock: trio.testing.MockClock) -> None:
    async with (
        fake_server(respond(200, json.dumps({"keys": [OLD]}).encode())) as server,
        verifier_of(server, keys=[]) as verifier,
    ):
        await verifier.verify(OLD_TOKEN)
        assert verifier.keys.signing_key is None


async def test_unchanged_keys_keep_what_is_remembered(clock: trio.testing.MockClock) -> None:
    async with fake_server(key_set(OLD)) as server, verifier_of(server) as verifier:
        first = await verifier.verify(OLD_TOKEN)
        await trio.sleep(2.5 * REFRESH_SECONDS)
        assert len(server.requests) == 3
        assert await verifier.verify(OLD_TOKEN) is first


async def test_another_url_drops_the_keys_of_the_first(clock: trio.testing.MockClock) -> None:
    async with (
        fake_server(key_set(OLD)) as first,
        fake_server(key_set(NEW)) as second,
        verifier_of(first) as verifier,
    ):
        await verifier.verify(OLD_TOKEN)
        verifier.apply_settings(auth_settings(jwks_url=second.url))
        assert (await verifier.verify(NEW_TOKEN)).user == "ada"
        assert "not known" in await refusal(verifier, OLD_TOKEN)
        verifier.apply_settings(auth_settings())
        assert "not known" in await refusal(verifier, NEW_TOKEN)


async def test_an_answer_that_comes_after_a_change_of_the_url_is_dropped(
    clock: trio.testing.MockClock,
) -> None:
    changed = trio.Event()

    async def wait_for_change(exchange: Exchange) -> None:
        await changed.wait()
        await key_set(OLD)(exchange)

    async with (
        fake_server(wait_for_change) as first,
        fake_server(key_set(NEW)) as second,
        verifier_of(first) as verifier,
    ):
        await first.wait_for_requests(1)
        verifier.apply_settings(auth_settings(jwks_url=second.url))
        changed.set()
        await second.wait_for_requests(1)
        assert (await verifier.verify(NEW_TOKEN)).user == "ada"
        assert "not known" in await refusal(verifier, OLD_TOKEN)


async def test_a_verifier_that_does_not_run_refuses_in_time(autojump_clock: trio.testing.MockClock) -> None:
    verifier = TokenVerifier(auth_settings(jwks_url="http://127.0.0.1:1/"), clock=lambda: NOW)
    with trio.fail_after(10), pytest.raises(Unavailable):
        await verifier.verify(OLD_TOKEN)


async def test_a_cancelled_caller_leaves_the_fetch_to_the_others(clock: trio.testing.MockClock) -> None:
    answered = trio.Event()

    async def wait(exchange: Exchange) -> None:
        await answered.wait()
        await key_set(OLD)(exchange)

    async with fake_server(wait) as server, verifier_of(server) as verifier:
        with trio.move_on_after(0.1) as scope:
            await verifier.verify(OLD_TOKEN)
        assert scope.cancelled_caught
        answered.set()
        assert (await verifier.verify(OLD_TOKEN)).user == "ada"
        assert len(server.requests) == 1


async def test_a_proxy_of_the_environment_does_not_see_the_loopback(
    clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with fake_server(respond(502)) as proxy, fake_server(key_set(OLD)) as server:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        async with verifier_of(server) as verifier:
            assert (await verifier.verify(OLD_TOKEN)).user == "ada"
        assert proxy.requests == []
