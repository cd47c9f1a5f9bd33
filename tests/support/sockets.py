"""Client connections of tests."""

import socket
import ssl
from urllib.parse import urlsplit

import trio


async def connect(
    url: str, *, tls: ssl.SSLContext | None = None, receive_buffer_bytes: int | None = None
) -> trio.abc.Stream:
    """Connect to a server. With a small receive buffer, a client that does not read stalls early."""
    parts = urlsplit(url)
    sock = trio.socket.socket()
    try:
        if receive_buffer_bytes is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        await sock.connect((parts.hostname, parts.port))
    except BaseException:
        sock.close()
        raise
    stream = trio.SocketStream(sock)
    if tls is None:
        return stream
    secure = trio.SSLStream(stream, tls, server_hostname=parts.hostname, https_compatible=True)
    await secure.do_handshake()
    return secure
