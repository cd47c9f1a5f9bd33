"""TLS and HTTP/2: certificates are verified, over every transport.

The server is Hypercorn, because the fake server of the other tests has neither.
"""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
import trio
from hypercorn.config import Config
from hypercorn.trio import serve

from streamd.client import Connected, Publisher, ReceivedEvent, Untrusted, subscribe
from streamd.client.endpoint import ServerEndpoint
from streamd.client.subscription import Transport
from tests.support.certificates import write_authority, write_certificate


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Serve a minimal streamd: one event over each transport, and an id for a published event."""
    event = b'{"id":"1700000000000-000001","type":"message","topics":["t"],"data":"HTTP/%b"}'
    event %= scope.get("http_version", "").encode()
    if scope["type"] == "lifespan":
        for step in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{step}.complete"})
        return
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": '{"control":"connected"}'})
        await send({"type": "websocket.send", "text": event.decode()})
        await receive()
        return
    while (await receive()).get("more_body"):
        pass
    if scope["method"] == "POST":
        body, status, kind = b'{"id":"HTTP/%b"}' % scope["http_version"].encode(), 201, b"application/json"
    elif scope["path"].endswith("/poll"):
        body = b'{"events":[%b],"next":"1700000000000-000001","gap":null}' % event
        status, kind = 200, b"application/json"
    else:
        version = scope["http_version"].encode()
        body = b"event: connected\ndata: {}\n\nid: 1700000000000-000001\ndata: HTTP/%b\n\n" % version
        status, kind = 200, b"text/event-stream"
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", kind)]})
    await send({"type": "http.response.body", "body": body, "more_body": False})


@asynccontextmanager
async def serving(certificate: str | None = None) -> AsyncIterator[str]:
    config = Config()
    config.bind = ["127.0.0.1:0"]
    config.errorlog = config.accesslog = None
    if certificate is not None:
        config.certfile = config.keyfile = certificate
        config.alpn_protocols = ["h2", "http/1.1"]
    async with trio.open_nursery() as nursery:
        stop = trio.Event()
        binds = await nursery.start(partial(serve, cast(Any, app), config, shutdown_trigger=stop.wait))
        yield binds[0].replace("127.0.0.1", "localhost")
        nursery.cancel_scope.cancel()


@pytest.fixture
def certificate(tmp_path: Path) -> str:
    return write_certificate(tmp_path, "localhost")


@pytest.fixture
def trusted(tmp_path: Path) -> str:
    return write_authority(tmp_path)


@pytest.mark.parametrize(
    ("transport", "http2", "data"),
    [
        ("sse", False, "HTTP/1.1"),
        ("sse", True, "HTTP/2"),
        ("poll", True, "HTTP/2"),
        ("websocket", False, "HTTP/1.1"),
    ],
)
async def test_every_transport_works_over_tls(
    certificate: str, trusted: str, transport: Transport, http2: bool, data: str
) -> None:
    async with serving(certificate) as url:
        with trio.fail_after(30):
            async with subscribe(
                url, topics=["t"], after="earliest", transport=transport, verify=trusted, http2=http2
            ) as subscription:
                assert isinstance(await anext(subscription), Connected)
                event = await anext(subscription)
    assert isinstance(event, ReceivedEvent)
    assert event.data == data


@pytest.mark.parametrize("http2", [False, True])
async def test_publishing_works_over_tls(certificate: str, trusted: str, http2: bool) -> None:
    async with serving(certificate) as url:
        with trio.fail_after(30):
            async with Publisher(url, verify=trusted, http2=http2) as publisher:
                assert await publisher.publish("t") == ("HTTP/2" if http2 else "HTTP/1.1")


async def test_http2_without_tls_is_by_prior_knowledge() -> None:
    async with serving() as url:
        with trio.fail_after(30):
            async with Publisher(url, http2=True) as publisher:
                assert await publisher.publish("t") == "HTTP/2"


@pytest.mark.parametrize("transport", ["sse", "websocket", "poll"])
async def test_an_untrusted_certificate_is_final(certificate: str, transport: Transport) -> None:
    async with serving(certificate) as url:
        with trio.fail_after(30):
            async with subscribe(url, topics=["t"], transport=transport) as subscription:
                with pytest.raises(Untrusted, match="CERTIFICATE_VERIFY_FAILED"):
                    await anext(subscription)
            async with Publisher(url) as publisher:
                with pytest.raises(Untrusted):
                    await publisher.publish("t")


async def test_a_context_or_no_verification_may_be_given(certificate: str) -> None:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    async with serving(certificate) as url:
        for verify in (context, False):
            with trio.fail_after(30):
                async with Publisher(url, verify=verify) as publisher:
                    assert await publisher.publish("t") == "HTTP/1.1"


def test_the_trusted_authorities_are_those_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    endpoint = ServerEndpoint.create("https://127.0.0.1")
    assert endpoint.ssl_context is not None
    assert endpoint.ssl_context.get_ca_certs() == ssl.create_default_context().get_ca_certs()
