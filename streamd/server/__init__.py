"""Hypercorn's trio worker with listeners and connections of streamd's own.

Protocols (HTTP/1.1, HTTP/2, WebSocket), configuration and lifespan are Hypercorn's. Two things differ: a
socket write is bounded in time, and every connection can be ended at once, in any state.

=======================  ====================================================================
``serve``                :func:`serve`: listeners, the accept loop and graceful shutdown
``accept``               accepting, with pauses while the process is out of files
``connection``           one client's socket, from TLS handshake to close
``preamble``             the header of the PROXY protocol in front of a connection
``output``               the ordered output of one socket
``tls``                  TLS in memory: records in, records out
``wires``                direct writes past ASGI, on HTTP/1.1 and WebSocket
``http1``                HTTP/1.1: reading ahead while a request is being answered
``http2``                HTTP/2: the transport and the wire of one stream
``stream_buffer``        HTTP/2: back-pressure of one stream
``hypercorn_internals``  the only package that touches Hypercorn's private parts
``task_group``           a connection's trio tasks, and the messages of one request
``context``              the parts that all connections of a server share
``loop_passes``          a limit on connection setups and teardowns per event-loop pass
``live``                 the connections that are being served
``certificates``         the TLS certificate, which can be replaced
``listeners``            listening sockets and their options
``inheritance``          listening sockets that a server process inherits from its supervisor
``supervisor``           several server processes on the same listening sockets
``files``                the limit of open files
``collector``            tuning of the garbage collector
``systemd``              notifications to systemd, and its watchdog
=======================  ====================================================================

It may import everything below it but ``services``, ``demo``, ``client`` and ``http``.
"""

from .certificates import Certificates, check_certificate
from .collector import tune_collector
from .files import check_open_files, raise_open_files
from .inheritance import FIRST, INHERIT_OPTION, Inheritance, spawn
from .listeners import address_of, check_addresses, open_sockets
from .serve import serve
from .settings import ServerSettings
from .supervisor import Supervisor
from .systemd import SystemdNotifier

__all__ = [
    "FIRST",
    "INHERIT_OPTION",
    "Certificates",
    "Inheritance",
    "ServerSettings",
    "Supervisor",
    "SystemdNotifier",
    "address_of",
    "check_addresses",
    "check_certificate",
    "check_open_files",
    "open_sockets",
    "raise_open_files",
    "serve",
    "spawn",
    "tune_collector",
]
