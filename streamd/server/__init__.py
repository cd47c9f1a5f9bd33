"""Hypercorn's trio worker with listeners and connections of streamd's own.

HTTP/2, configuration and lifespan are Hypercorn's; HTTP/1.1 is streamd's own on httptools (llhttp), and
WebSocket on wsproto. A socket write is bounded in time, and every connection can be ended at once.

=======================  ====================================================================
``serve``                :func:`serve`: listeners, the accept loop and graceful shutdown
``accept``               accepting, and room for newcomers when open files run short
``address_slots``        the limit on open connections of one address
``connection``           one client's connection, from the accepted socket to its close
``client_socket``        its socket: reading, output, timeouts, and the end
``preamble``             the header of the PROXY protocol in front of a connection
``output``               the ordered output of one socket
``tls``                  TLS in memory: records in, records out
``wires``                direct writes past ASGI, on HTTP/1.1 and WebSocket
``timeouts``             timeouts of idle connections, checked by one trio task
``watcher``              noticing clients that leave while nobody reads their sockets
``options``              ``OPTIONS *``
``http1``                HTTP/1.1 and WebSocket on one connection
``http2_session``        HTTP/2 on one connection
``http2``                HTTP/2: the transport and the wire of one stream
``target``               the characters that the target of a request may have
``refusals``             answers to requests that the application does not see
``stream_buffer``        HTTP/2: back-pressure of one stream
``hypercorn_internals``  the only package that touches Hypercorn's private parts
``task_group``           the trio tasks of an HTTP/2 connection, and the messages of one request
``context``              the parts that all connections of a server share
``loop_passes``          a limit on connection setups and teardowns per event-loop pass
``loop_monitor``         how long passes of the event loop take, and what ran in slow ones
``live``                 the connections that are being served
``certificates``         the TLS certificate, which can be replaced
``listeners``            listening sockets and their options
``unix_sockets``         listening Unix sockets and their files
``activation``           listening sockets of the service manager (systemd)
``inheritance``          listening sockets that a server process inherits from its supervisor
``supervisor``           several server processes on the same listening sockets
``files``                the limit of open files
``collector``            tuning of the garbage collector
``systemd``              notifications to systemd, and its watchdog
=======================  ====================================================================

It may import everything below it but ``services``, ``demo``, ``client`` and ``http``.
"""

from .activation import bind_of, take_activated
from .certificates import Certificates, check_certificate
from .collector import tune_collector
from .files import check_open_files, raise_open_files
from .inheritance import FIRST, INHERIT_OPTION, Inheritance, spawn
from .listeners import address_of, adopt_sockets, check_addresses, open_sockets
from .loop_monitor import LoopMonitor
from .serve import serve
from .settings import ServerSettings
from .supervisor import Supervisor
from .systemd import SystemdNotifier

__all__ = [
    "FIRST",
    "INHERIT_OPTION",
    "Certificates",
    "Inheritance",
    "LoopMonitor",
    "ServerSettings",
    "Supervisor",
    "SystemdNotifier",
    "address_of",
    "adopt_sockets",
    "bind_of",
    "check_addresses",
    "check_certificate",
    "check_open_files",
    "open_sockets",
    "raise_open_files",
    "serve",
    "spawn",
    "take_activated",
    "tune_collector",
]
