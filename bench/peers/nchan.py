"""The peer nchan: the publish-subscribe module of nginx, from Debian's packages."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import ClassVar, Final

from ..missing import Missing
from .base import BACKLOG, HOST, Ability, Peer, Setup, Workspace

_MODULE: Final = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")
_KEPT_EVENTS: Final = 20_000
# nginx closes idle connections once fewer than a sixteenth of its connection slots are free.
_SLOTS_A_CONNECTION: Final = 1.25
_SPARE_FILES: Final = 100

_CONFIGURATION: Final = """\
load_module {module};
daemon off;
worker_processes 1;
worker_rlimit_nofile {files};
pid {directory}/pid;
error_log stderr;
{user}
events {{ worker_connections {connections}; }}
http {{
    access_log {access_log};
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    keepalive_requests 1000000;
    keepalive_timeout 1h;
    nchan_shared_memory_size 1g;
    server {{
        listen {host}:{port}{tls} backlog={backlog};
        {certificate}
        {further}
        nchan_channel_id bench;
        nchan_message_timeout 1h;
        nchan_message_buffer_length {kept};
        location = /events {{
            nchan_subscriber eventsource websocket;
            nchan_subscriber_first_message newest;
        }}
        location = /publish {{
            nchan_publisher;
        }}
    }}
}}
"""


class Nchan(Peer):
    """nginx with one worker process.

    Args:
        logs_requests: write a line for each request to a file.
    """

    about = "nginx with the nchan module, one worker"
    abilities: ClassVar = frozenset({Ability.TLS, Ability.WEBSOCKET})
    publish_path = "/publish"

    def __init__(self, *, logs_requests: bool = False) -> None:
        self.name = "nchan-logged" if logs_requests else "nchan"
        self._logs_requests = logs_requests

    def further_settings(self) -> str:
        """Return further lines of the configuration of its server."""
        return ""

    def version(self) -> str:
        done = subprocess.run([_nginx(), "-v"], capture_output=True, text=True, timeout=10, check=True)
        nginx = done.stderr.strip().rpartition(": ")[2]
        query = ["dpkg-query", "-W", "-f", "${Version}", "libnginx-mod-nchan"]
        try:
            module = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True).stdout
        except (OSError, subprocess.CalledProcessError):
            module = "of unknown version"
        return f"{nginx}, nchan {module}"

    def command(self, setup: Setup, workspace: Workspace) -> list[str]:
        certificate = workspace.certificate
        slots = int(setup.connections * _SLOTS_A_CONNECTION)
        configuration = workspace.directory / "nginx.conf"
        configuration.write_text(
            _CONFIGURATION.format(
                module=_MODULE,
                directory=workspace.directory,
                access_log=workspace.directory / "access.log" if self._logs_requests else "off",
                user="user root;" if os.getuid() == 0 else "",  # other users cannot read the directory
                connections=slots,
                files=slots + _SPARE_FILES,
                host=HOST,
                backlog=BACKLOG,
                port=workspace.port,
                tls=" ssl" if certificate else "",
                certificate=f"ssl_certificate {certificate.chain}; ssl_certificate_key {certificate.key};"
                if certificate
                else "",
                kept=_KEPT_EVENTS,
                further=self.further_settings(),
            )
        )
        return [_nginx(), "-e", "stderr", "-p", str(workspace.directory), "-c", str(configuration)]


def _nginx() -> str:
    # Debian installs it in a folder of root's PATH.
    program = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if program is None or not _MODULE.exists():
        raise Missing(
            "nginx with nchan is not installed: install the Debian packages nginx and libnginx-mod-nchan"
        )
    return program
