"""Messages of clients on WebSockets, and event streams that clients read."""

import json
from typing import Final

import attrs

from streamd.client.errors import ProtocolError
from streamd.client.sse import read_block
from streamd.errors import InvalidBody
from streamd.events.messages import ClientMessage, Ping, decode_client_message, pong
from tests.fuzz.target import Target, check_refusal, split
from tests.support.sse_model import Reading, read, reference

_RETRY_DIGITS_MAX: Final = 15  # more are cut off by the decoder, not by the model
_FIELDS: Final = (
    b"data:",
    b"id: ",
    b"event: ",
    b"retry: ",
    b"encoding: base64",
    b": ",
    b"\r\n",
    b"\n\n",
    b"\r",
)


def _take_websocket(data: bytes) -> None:
    message = _decode(data)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        assert message is None, "a message is accepted that is not UTF-8"
        return
    assert _decode(text) == message
    if isinstance(message, Ping):
        assert json.loads(pong(message).text) == {"control": "pong", "nonce": message.nonce}


def _decode(text: str | bytes) -> ClientMessage | None:
    try:
        return decode_client_message(text)
    except InvalidBody as error:
        check_refusal(error)
        return None


def _take_sse(data: bytes) -> None:
    """Decode a stream in parts, whose lengths are the first four bytes; the fifth is the limit of a block."""
    head, stream = data[:4], data[5:]
    limit = data[4] or None if len(data) > 4 else None
    found = read([stream], max_block_chars=limit)
    assert read(split(stream, head), max_block_chars=limit) == found
    assert found == _with_short_retry(reference(stream, max_block_chars=limit))
    for event in found.events:
        try:
            read_block(event)
        except ProtocolError as error:
            assert len(str(error)) <= 600


def _with_short_retry(reading: Reading) -> Reading:
    retry_ms = reading.retry_ms
    return (
        reading
        if retry_ms is None
        else attrs.evolve(reading, retry_ms=int(str(retry_ms)[:_RETRY_DIGITS_MAX]))
    )


TARGETS: Final = {
    "websocket": Target(
        _take_websocket,
        (
            b'{"control":"ping","nonce":1}',
            b'{"control":"pong","nonce":"\\ud83d\\ude00"}',
            b'{"control":"subscribe","topics":["a"],"patterns":["b/*"]}',
            b'{"topics":["a"],"control":"unsubscribe"}',
            b'{"control":"publish","nonce":1,"topic":"a","data":{"n":1.0},"encoding":"base64"}',
        ),
        (b'"control":', b'"nonce":', b'"topics":', b'"patterns":', b"18446744073709551616", rb"\ud800"),
    ),
    "sse": Target(
        _take_sse,
        (
            b"\1\2\3\4\0\xef\xbb\xbfid: 1\r\nevent: a\rdata: x\ndata:y\n\n: comment\nid\n\nretry: 0100\n\n",
            b"\5\1\1\1\x20id: 2\nencoding: base64\ndata: AAEC\n\nevent: gap\ndata: {}\n\n" + b"x" * 40,
            b"\1\1\1\1\0data: \xe2\x82\xac\xff\n\nid: a\0b\ndata\n\n",
        ),
        _FIELDS,
    ),
}
