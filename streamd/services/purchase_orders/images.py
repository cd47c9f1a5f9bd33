"""Verification of image URLs: an image exists, of which type and size.

The URLs come from clients, so requests are guarded against SSRF: only http and https, and each hop's host is
resolved here, checked, and connected to by the checked address, which defeats DNS rebinding. Addresses that
are not public are refused unless the settings allow them.
"""

import hashlib
import socket
from typing import Final

import attrs
import httpx
import trio

from ...outbound import FetchFailed, ResponseTooLarge, StreamedResponse, is_public_address, open_response
from .order import Image
from .settings import PurchaseOrderSettings

MAX_URL_CHARS: Final = 2000
_MAX_REDIRECTS: Final = 3
_HEAD_BYTES: Final = 16  # enough to recognise the types below
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_NO_HEAD: Final = frozenset({403, 404, 405, 501})  # some servers reject HEAD with these and accept GET


class ImageRefused(Exception):
    """The image is not usable; the message is fit for clients."""


@attrs.frozen
class ImageVerifier:
    """Verifies images.

    Args:
        http: an HTTP client that does not follow redirects.
        settings: the timeout for one image, all requests included; the maximum size of an image; and the
            permission to request private and loopback addresses.
    """

    http: httpx.AsyncClient
    settings: PurchaseOrderSettings

    async def verify(self, image: Image) -> Image:
        """Return the image as verified, or as failed with the reason. Raises only when cancelled."""
        settings = self.settings
        reason = f"no answer within {settings.image_timeout_seconds:g} s"
        with trio.move_on_after(settings.image_timeout_seconds):
            try:
                return await self._verify(image)
            except ImageRefused as refused:
                reason = str(refused)
            except ResponseTooLarge:
                reason = f"larger than {settings.image_max_bytes} bytes"
            except FetchFailed as error:
                reason = f"the image could not be fetched: {error.detail}"
            except httpx.InvalidURL:
                reason = "the address, or one that it leads to, is no URL"
        return attrs.evolve(image, status="failed", reason=reason)

    async def _verify(self, image: Image) -> Image:
        url = check_url(image.url)
        for _ in range(_MAX_REDIRECTS + 1):
            request = await self._make_request("HEAD", url)
            async with open_response(self.http, request, decode=False) as response:
                if response.status not in _REDIRECTS:
                    self._check_head(response)
                elif (target := response.headers.get("location")) is None:
                    raise ImageRefused("the server redirects to nowhere")
                else:
                    url = check_url(str(url.join(target)))
                    continue
            return await self._measure(image, url)
        raise ImageRefused(f"more than {_MAX_REDIRECTS} redirects")

    def _check_head(self, response: StreamedResponse) -> None:
        """Reject by its head alone an image that need not be fetched."""
        if response.status >= 400 and response.status not in _NO_HEAD:
            raise ImageRefused(f"the server answered {response.status}")
        if 200 <= response.status < 300:
            response.check_length(self.settings.image_max_bytes)

    async def _measure(self, image: Image, url: httpx.URL) -> Image:
        """Read an image, and return it with its type, size and digest."""
        request = await self._make_request("GET", url)
        async with open_response(self.http, request, decode=False) as response:
            if response.status != 200:
                raise ImageRefused(f"the server answered {response.status}")
            digest, size, head = hashlib.sha256(), 0, b""
            async for piece in response.pieces(max_bytes=self.settings.image_max_bytes):
                size += len(piece)
                if len(head) < _HEAD_BYTES:
                    head += piece[:_HEAD_BYTES]
                digest.update(piece)
        media_type = media_type_of(head)
        if media_type is None:
            said = response.headers.get("content-type", "nothing")[:60]
            raise ImageRefused(f"no PNG, JPEG, GIF, WebP, BMP or AVIF (the server calls it {said})")
        return attrs.evolve(
            image,
            status="verified",
            reason="",
            media_type=media_type,
            size=size,
            sha256=digest.hexdigest(),
        )

    async def _make_request(self, method: str, url: httpx.URL) -> httpx.Request:
        """Build a request to the checked address, with the host name in Host and SNI."""
        address = await self._resolve(url)
        return self.http.build_request(
            method,
            url.copy_with(host=address),
            headers={"Host": url.netloc.decode("ascii"), "Accept": "image/*", "Accept-Encoding": "identity"},
            extensions={"sni_hostname": url.host},
        )

    async def _resolve(self, url: httpx.URL) -> str:
        port = url.port or {"http": 80, "https": 443}[url.scheme]
        try:
            found = await trio.socket.getaddrinfo(url.raw_host.decode("ascii"), port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise ImageRefused("its host is not known") from error
        addresses = [str(entry[4][0]) for entry in found]
        if not self.settings.image_allow_private and not all(map(is_public_address, addresses)):
            raise ImageRefused("its host has a private or reserved address, which is not asked")
        return addresses[0].partition("%")[0]


def check_url(text: str) -> httpx.URL:
    """Parse and check the URL of an image.

    Raises:
        ImageRefused: the URL is not acceptable.
    """
    if len(text) > MAX_URL_CHARS:
        raise ImageRefused(f"an address longer than {MAX_URL_CHARS} characters")
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise ImageRefused("no URL") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise ImageRefused("no http or https URL")
    if url.userinfo:
        raise ImageRefused("a URL with a password in it")
    return url.copy_with(fragment=None)


def media_type_of(head: bytes) -> str | None:
    """Detect an image's media type by its first bytes; None if it is not a supported image."""
    for start, media_type in _SIGNATURES:
        if head.startswith(start):
            return media_type
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    return "image/avif" if head[4:12] in (b"ftypavif", b"ftypavis") else None


_SIGNATURES: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
)
