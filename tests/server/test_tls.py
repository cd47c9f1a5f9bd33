"""TLS in memory: records are sent in the order in which they were made."""

import random
import ssl
import struct

import pytest
import trio
import trio.testing
import trustme
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from streamd.server.tls import RECORD_BYTES, TLS
from tests.support.output_rig import PATIENCE_SECONDS, Rig, open_rig
from tests.support.tls_client import HOST, VERSIONS, TLSClient, make_contexts

_HEADER = struct.Struct("!BHH")  # of a record: content type, version, length (RFC 8446 section 5.1)
_ALERT, _HANDSHAKE, _APPLICATION_DATA = 21, 22, 23
_OVERHEAD_BYTES = 256  # maximum growth of a record by its protection (RFC 8446 section 5.2)
_GARBAGE = b"GET / HTTP/1.1\r\n\r\n"
_ABORTED = _HEADER.pack(_ALERT, 0x0303, 2) + bytes((2, 80))  # fatal, internal_error
_FORGED = _HEADER.pack(_APPLICATION_DATA, 0x0303, 64) + bytes(64)  # made without the key


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def record_sizes(records: bytes, content_type: int) -> list[int]:
    """Return the lengths of records, which must be complete and of one type."""
    sizes = []
    while records:
        found, _, size = _HEADER.unpack_from(records)
        assert found == content_type
        assert len(records) >= _HEADER.size + size
        sizes.append(size)
        records = records[_HEADER.size + size :]
    return sizes


async def connect(
    authority: trustme.CA, version: ssl.TLSVersion | None = None, protocols: tuple[str, ...] = ()
) -> tuple[TLS, TLSClient, str | None]:
    """Connect a server and a client; return them and the agreed protocol."""
    server_context, client_context = make_contexts(authority, version)
    server_context.set_alpn_protocols(["h2", "http/1.1"])
    if protocols:
        client_context.set_alpn_protocols(list(protocols))
    client = TLSClient(client_context)
    tls = TLS(server_context, client.receive, client.take_in)
    agreed = await tls.handshake()
    client.shake_hands()
    return tls, client, agreed


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("protocols", "expected"),
    [
        (("h2", "http/1.1"), "h2"),
        (("http/1.1", "h2"), "h2"),  # the server's order decides
        (("http/1.1",), "http/1.1"),
        (("spdy/3",), "http/1.1"),
        ((), "http/1.1"),
    ],
)
async def test_the_handshake_returns_the_agreed_protocol(
    authority: trustme.CA, version: ssl.TLSVersion, protocols: tuple[str, ...], expected: str
) -> None:
    tls, client, agreed = await connect(authority, version, protocols)
    assert agreed == expected
    assert client.application.version() == version.name.replace("_", ".")
    client.waiting.append(client.encrypt(b"hello"))
    assert await tls.receive() == b"hello"


async def test_a_handshake_succeeds_one_byte_at_a_time(authority: trustme.CA) -> None:
    server_context, client_context = make_contexts(authority)
    client = TLSClient(client_context)

    async def trickle() -> bytes:
        first, *rest = await client.receive()
        client.waiting[:0] = [bytes([byte]) for byte in rest]
        return bytes([first])

    tls = TLS(server_context, trickle, client.take_in)
    assert await tls.handshake() == "http/1.1"
    client.shake_hands()
    client.waiting.append(client.encrypt(b"hello"))
    assert await tls.receive() == b"hello"


async def test_a_handshake_without_a_common_version_fails_with_an_alert(
    authority: trustme.CA,
) -> None:
    server_context, client_context = make_contexts(authority, ssl.TLSVersion.TLSv1_2)
    server_context.minimum_version = ssl.TLSVersion.TLSv1_3
    client = TLSClient(client_context)
    tls = TLS(server_context, client.receive, client.take_in)
    assert await tls.handshake() is None
    with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
        client.shake_hands()


@pytest.mark.parametrize("first", [_GARBAGE, _ABORTED, b""])
async def test_a_handshake_fails_on_invalid_records(authority: trustme.CA, first: bytes) -> None:
    server_context, client_context = make_contexts(authority)
    client = TLSClient(client_context)
    tls = TLS(server_context, client.receive, client.take_in)
    client.waiting.append(first)
    assert await tls.handshake() is None
    tls.close_notify()  # a connection calls it in any case: it must not raise


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_client_that_does_not_trust_the_server_fails_the_handshake(
    authority: trustme.CA, version: ssl.TLSVersion
) -> None:
    server_context, _ = make_contexts(authority, version)
    _, strict_context = make_contexts(trustme.CA(), version)
    client = TLSClient(strict_context)
    tls = TLS(server_context, client.receive, client.take_in)
    assert await tls.handshake() is None
    assert client.refused


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("size", [1, RECORD_BYTES, RECORD_BYTES + 1, 10 * RECORD_BYTES, 200_001])
async def test_data_of_any_size_is_encrypted_completely(
    authority: trustme.CA, version: ssl.TLSVersion, size: int
) -> None:
    tls, client, _ = await connect(authority, version)
    data = random.Random(size).randbytes(size)
    records = tls.encrypt(data)
    sizes = record_sizes(records, _APPLICATION_DATA)
    assert len(sizes) == -(-size // RECORD_BYTES)
    assert max(sizes) <= RECORD_BYTES + _OVERHEAD_BYTES
    client.take_in(records)
    assert client.take() == data
    client.take_in(tls.encrypt(b""))
    client.take_in(tls.encrypt(b"end"))
    assert client.take() == b"end"


@pytest.mark.parametrize("version", VERSIONS)
async def test_client_data_is_decrypted_from_any_split(
    authority: trustme.CA, version: ssl.TLSVersion
) -> None:
    tls, client, _ = await connect(authority, version)
    data = random.Random(7).randbytes(50_000)
    records = client.encrypt(data)
    client.waiting += [records[start : start + 999] for start in range(0, len(records), 999)]
    received = b""
    while len(received) < len(data):
        part = await tls.receive()
        assert part
        received += part
    assert received == data


@pytest.mark.parametrize("version", VERSIONS)
async def test_both_sides_may_send_close_notify(authority: trustme.CA, version: ssl.TLSVersion) -> None:
    tls, client, _ = await connect(authority, version)
    client.take_in(tls.encrypt(b"last"))
    client.take_in(tls.close_notify())
    assert client.take() == b"last"
    assert client.has_ended()

    tls, client, _ = await connect(authority, version)
    client.waiting += [client.encrypt(b"last"), client.close_notify()]
    assert await tls.receive() == b"last"
    assert await tls.receive() == b""
    record_sizes(tls.encrypt(b"still possible"), _APPLICATION_DATA)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("last", [_GARBAGE, _FORGED, _ABORTED, b""])
async def test_garbage_or_a_broken_connection_ends_tls_and_aborts_the_output(
    authority: trustme.CA, version: ssl.TLSVersion, last: bytes
) -> None:
    tls, client, _ = await connect(authority, version)
    client.waiting += [client.encrypt(b"good"), last]
    assert await tls.receive() == b"good"
    assert await tls.receive() == b""
    async with trio.open_nursery() as nursery:
        with open_rig(nursery) as rig:
            rig.output.encrypt_with(tls.encrypt)
            assert not rig.output.write_nowait(b"event")  # called by the fan-out: must not raise
            assert rig.output.closed
            assert rig.failures == 1
            assert rig.available() == b""


_AUTHORITY = trustme.CA()  # hypothesis cannot use fixtures of function scope


@hypothesis_settings(max_examples=25)
@given(seed=st.integers(0, 2**32), version=st.sampled_from(VERSIONS))
def test_records_are_sent_in_the_order_they_were_made_by_concurrent_writers(
    seed: int, version: ssl.TLSVersion
) -> None:
    """After one missing or reordered record the client could not decrypt the next ones."""
    random_ = random.Random(seed)
    server_context, client_context = make_contexts(_AUTHORITY, version)

    async def main() -> None:
        with trio.fail_after(PATIENCE_SECONDS):
            async with trio.open_nursery() as nursery:
                with open_rig(nursery) as rig:
                    made: list[bytes] = []
                    nursery.start_soon(serve_at_random, rig, server_context, made, random_)
                    sock = trio.socket.from_stdlib_socket(rig.peer)
                    stream = trio.SSLStream(trio.SocketStream(sock), client_context, server_hostname=HOST)
                    received = bytearray()
                    while part := await stream.receive_some(random_.choice((13, 999, 65_536))):
                        received += part
                    assert bytes(received) == b"".join(made)
                    assert rig.failures == 0

    trio.run(main)


async def serve_at_random(
    rig: Rig, context: ssl.SSLContext, made: list[bytes], random_: random.Random
) -> None:
    """Shake hands, write by all methods, and send close_notify; ``made`` collects the expected bytes."""

    async def receive() -> bytes:
        await trio.lowlevel.wait_readable(rig.sock)
        return rig.sock.recv(65_536)

    tls = TLS(context, receive, rig.output.put_records)

    def encrypt(data: bytes) -> bytes:
        made.append(data)
        return tls.encrypt(data)

    async def write() -> None:
        for _ in range(6):
            data = random_.randbytes(random_.choice((1, 700, 9_000, 40_000)))
            kind = random_.choice(("direct", "put", "records", "send"))
            if kind == "direct":
                rig.output.write_nowait(data)
            elif kind == "put":
                rig.output.put(data)
            elif kind == "records":
                rig.output.put_records(encrypt(data))  # as TLS does for its own records
            else:
                await rig.output.send(data)
            for _ in range(random_.randrange(3)):
                await trio.lowlevel.checkpoint()

    assert await tls.handshake() == "http/1.1"
    rig.output.encrypt_with(encrypt)
    async with trio.open_nursery() as writing:
        for _ in range(3):
            writing.start_soon(write)
    rig.output.put_records(tls.close_notify())
