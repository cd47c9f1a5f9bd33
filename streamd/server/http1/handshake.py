"""The opening handshake of a WebSocket over HTTP/1.1 (RFC 6455 section 4.2.1): its checks, and its answer."""

import re
from typing import Any, Final

import attrs
from wsproto.utilities import generate_accept_token

from ..refusals import RequestRefused, malformed
from .head import RequestHead

_KEY: Final = re.compile(rb"[A-Za-z0-9+/]{22}==")  # 16 bytes in base64
_VERSION: Final = b"13"
# Without permessage-deflate no message is ever compressed: a compressor costs 91 kB a connection.
_EXTENSIONS: Final = b"sec-websocket-extensions"


def is_handshake(head: RequestHead) -> bool:
    """Return True if the request asks for a WebSocket.

    Raises:
        RequestRefused: it only resembles such a request: a proxy has dropped ``Upgrade``, which ends at it.
    """
    if head.method != "GET":
        return False
    if b"websocket" in head.upgrade and (head.has_websocket_key or len(head.upgrade) == 1):
        return True
    if head.has_websocket_key:
        raise _upgrade_required(
            "a WebSocket handshake needs HTTP/1.1 with Upgrade: websocket and Connection: Upgrade, which a "
            "proxy between may have dropped"
        )
    return False


@attrs.frozen
class Handshake:
    """A handshake that may be accepted.

    Attributes:
        key: of the client.
        subprotocols: offered by the client, in its order.
    """

    key: bytes
    subprotocols: list[str]

    @classmethod
    def of(cls, head: RequestHead) -> "Handshake":
        """Check a handshake, and remove the extensions that it offers.

        Raises:
            RequestRefused: it does not follow the protocol, or is of another version.
        """
        keys, versions, subprotocols = [], [], []
        for name, value in head.headers:
            if name == b"sec-websocket-key":
                keys.append(value)
            elif name == b"sec-websocket-version":
                versions.append(value)
            elif name == b"sec-websocket-protocol":
                offered = value.decode("latin1").split(",")
                subprotocols += [protocol.strip() for protocol in offered if protocol.strip()]
        if head.content_length != 0:
            raise malformed("a WebSocket handshake has no body")
        if len(keys) != 1 or not _KEY.fullmatch(keys[0]):
            raise malformed("a WebSocket handshake needs one Sec-WebSocket-Key of 16 bytes in base64")
        if versions != [_VERSION]:
            raise _upgrade_required("Sec-WebSocket-Version must be 13")
        head.headers = [header for header in head.headers if header[0] != _EXTENSIONS]
        return cls(keys[0], subprotocols)

    def accept(self, message: dict[str, Any]) -> list[tuple[bytes, bytes]]:
        """Build the headers of the answer 101 from the application's ``websocket.accept``.

        Raises:
            ValueError: the subprotocol was not offered, or a header belongs to the handshake.
        """
        headers = [
            (b"upgrade", b"websocket"),
            (b"connection", b"upgrade"),
            (b"sec-websocket-accept", generate_accept_token(self.key)),
        ]
        subprotocol = message.get("subprotocol")
        if subprotocol is not None:
            if subprotocol not in self.subprotocols:
                raise ValueError("the subprotocol must be one that the client offered")
            headers.append((b"sec-websocket-protocol", subprotocol.encode("latin1")))
        for name, value in message.get("headers") or ():
            if name.lower().startswith(b"sec-websocket-"):
                raise ValueError("the headers of the handshake are the server's")
            headers.append((name, value))
        return headers


def _upgrade_required(detail: str) -> RequestRefused:
    headers = [
        (b"upgrade", b"websocket"),
        (b"connection", b"upgrade"),
        (b"sec-websocket-version", _VERSION),
    ]
    return RequestRefused(426, "upgrade-required", detail, headers)
