"""Verification of image URLs: guarded addresses, bounded bytes, failures as results."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from streamd.services.purchase_orders.images import (
    ImageRefused,
    ImageVerifier,
    check_url,
    media_type_of,
)
from streamd.services.purchase_orders.order import Image
from streamd.services.purchase_orders.settings import PurchaseOrderSettings
from tests.support.fake_server import Answer, FakeServer, fake_server, hang, raw, respond
from tests.support.orders_rig import PNG

HEAD_OK = respond(200)
PICTURE = respond(200, PNG)


@asynccontextmanager
async def looking(*answers: Answer, allow: bool = True) -> AsyncIterator[tuple[ImageVerifier, FakeServer]]:
    async with fake_server(*answers) as server, httpx.AsyncClient(timeout=None, trust_env=False) as client:
        settings = PurchaseOrderSettings(image_max_bytes=1000, image_allow_private=allow)
        yield ImageVerifier(client, settings), server


def image(url: str) -> Image:
    return Image(line=1, url=url)


async def test_an_image_is_measured() -> None:
    async with looking(PICTURE) as (looker, server):
        seen = await looker.verify(image(f"{server.url}/a.png?x=1#y"))
        assert (seen.status, seen.media_type, seen.size) == ("verified", "image/png", len(PNG))
        assert seen.sha256 == hashlib.sha256(PNG).hexdigest()
        assert [(request.method, request.target) for request in server.requests] == [
            ("HEAD", "/a.png?x=1"),
            ("GET", "/a.png?x=1"),
        ]
        assert server.requests[0].headers["host"] == server.url.removeprefix("http://")


async def test_the_host_name_is_kept_in_the_request() -> None:
    async with looking(PICTURE) as (looker, server):
        url = server.url.replace("127.0.0.1", "localhost")
        assert (await looker.verify(image(url))).status == "verified"
        assert server.requests[0].headers["host"] == url.removeprefix("http://")


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ([respond(404), respond(404)], "answered 404"),
        ([respond(410)], "answered 410"),
        ([HEAD_OK, respond(500)], "answered 500"),
        (
            [HEAD_OK, respond(200, b"<html>", {"Content-Type": "text/html"})],
            "the server calls it text/html",
        ),
        ([HEAD_OK, respond(200, b"")], "no PNG"),
        ([respond(200, content_length=1001)], "larger than 1000"),
        ([HEAD_OK, respond(200, PNG * 10)], "larger than 1000"),
        ([HEAD_OK, raw(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + PNG * 10)], "larger than 1000"),
        ([HEAD_OK, respond(200, PNG, content_length=500)], "was cut off"),
        ([respond(302)], "to nowhere"),
        ([respond(302, headers={"Location": "/again"})], "more than 3 redirects"),
        ([respond(302, headers={"Location": "ftp://x/"})], "no http or https URL"),
        ([respond(302, headers={"Location": "http://["})], "host is not known"),
        ([raw(b"nonsense\r\n\r\n")], "was cut off"),
    ],
)
async def test_an_unusable_image_fails_with_a_reason(answers: list[Answer], reason: str) -> None:
    async with looking(*answers) as (looker, server):
        seen = await looker.verify(image(server.url))
    assert seen.status == "failed"
    assert reason in seen.reason


async def test_a_server_that_rejects_head_gets_get() -> None:
    async with looking(respond(405), respond(200, PNG)) as (looker, server):
        assert (await looker.verify(image(server.url))).status == "verified"


async def test_a_redirect_is_followed_and_checked() -> None:
    async with looking(respond(301, headers={"Location": "/there"}), PICTURE) as (looker, server):
        assert (await looker.verify(image(server.url))).status == "verified"
        assert [request.target for request in server.requests] == ["/", "/there", "/there"]


async def test_a_slow_server_times_out() -> None:
    async with fake_server(hang) as server, httpx.AsyncClient(timeout=None, trust_env=False) as client:
        settings = PurchaseOrderSettings(image_timeout_seconds=0.05, image_allow_private=True)
        looker = ImageVerifier(client, settings)
        seen = await looker.verify(image(server.url))
    assert (seen.status, seen.reason) == ("failed", "no answer within 0.05 s")


async def test_an_unreachable_server_fails_with_a_reason() -> None:
    async with looking(PICTURE) as (looker, server):
        url = server.url
    async with httpx.AsyncClient(trust_env=False) as client:
        looker = ImageVerifier(client, PurchaseOrderSettings(image_allow_private=True))
        assert "no connection could be made" in (await looker.verify(image(url))).reason


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "2130706433", "0x7f000001", "127.1", "0.0.0.0"]
)
async def test_private_addresses_are_not_requested(host: str) -> None:
    async with looking(PICTURE, allow=False) as (looker, server):
        port = server.url.rpartition(":")[2]
        seen = await looker.verify(image(f"http://{host}:{port}/a.png"))
        assert seen.status == "failed"
        assert "private" in seen.reason or "not known" in seen.reason or "no URL" in seen.reason
        assert server.requests == []


@pytest.mark.parametrize(
    "url",
    ["", "a", "/a", "file:///etc/passwd", "ftp://x/a", "http://", "http://u:p@x/", "http://x" + "a" * 2000],
)
def test_unacceptable_urls_are_refused(url: str) -> None:
    with pytest.raises(ImageRefused):
        check_url(url)


def test_media_types_by_signature() -> None:
    assert media_type_of(b"\xff\xd8\xff\xe0") == "image/jpeg"
    assert media_type_of(b"RIFF1234WEBPVP8 ") == "image/webp"
    assert media_type_of(b"\x00\x00\x00 ftypavif") == "image/avif"
    assert media_type_of(b"<svg") is None
