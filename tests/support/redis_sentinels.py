"""A primary server, a replica and a sentinel, of which the last makes the replica the primary."""

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.support.redis_servers import HOST, RedisServer, free_port

SERVICE: Final = "streamd"
# A server that does not answer for so long is taken for dead; longer than a busy machine makes it wait.
_DOWN_MS: Final = 1500
_FAILOVER_MS: Final = 1000  # between two failovers lies twice this time
_WAIT_SECONDS: Final = 30.0


class Sentinels:
    """Two servers and a sentinel. Make them with :func:`sentinels`.

    Attributes:
        primary, replica: the servers in their present roles.
        port: of the sentinel.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        servers = []
        for name in ("one", "two"):
            (folder / name).mkdir()
            servers.append(
                RedisServer(folder / name, free_port(), "--repl-diskless-sync-delay", "0", *options)
            )
        self.primary, self.replica = servers
        self.port: Final = free_port()
        self._folder: Final = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The URL of the service."""
        return f"redis+sentinel://{HOST}:{self.port}/{SERVICE}/0"

    def start(self) -> None:
        """Start all, and wait until the replica follows the primary and the sentinel knows both."""
        self.primary.start()
        self.replica.start("--replicaof", HOST, str(self.primary.port))
        file = self._folder / "sentinel.conf"
        file.write_text(
            f"bind {HOST}\nport {self.port}\ndir {self._folder}\n"
            f"sentinel monitor {SERVICE} {HOST} {self.primary.port} 1\n"
            f"sentinel down-after-milliseconds {SERVICE} {_DOWN_MS}\n"
            f"sentinel failover-timeout {SERVICE} {_FAILOVER_MS}\n"
        )
        with (self._folder / "sentinel.log").open("ab") as log:
            self._process = subprocess.Popen(
                ["redis-server", str(file), "--sentinel"], stdout=log, stderr=log
            )
        self._wait("the sentinel knows the replica", self._is_complete)

    def _is_complete(self) -> bool:
        return (
            "master_link_status:up" in self.replica.command("INFO", "replication")
            and "slaves=1" in self.ask("INFO", "sentinel")
            and "s_down" not in self.ask("SENTINEL", "REPLICAS", SERVICE)
        )

    def ask(self, *arguments: str) -> str:
        """Run a command on the sentinel, and return what it prints; '' while it does not answer."""
        command = ["redis-cli", "-h", HOST, "-p", str(self.port), *arguments]
        return subprocess.run(command, check=False, capture_output=True, text=True).stdout.strip()

    def wait_for_replica(self) -> None:
        """Wait until the replica has all that the primary has now."""
        written = _offset(self.primary, "master_repl_offset")
        self._wait("the replica has all", lambda: _offset(self.replica, "slave_repl_offset") >= written)

    def fail_over(self) -> None:
        """Let the sentinel make the replica the primary while the primary is well, and wait for it."""
        self._wait("the replica is good enough", lambda: self.ask("SENTINEL", "FAILOVER", SERVICE) == "OK")
        self.wait_for_promotion()

    def wait_for_promotion(self) -> None:
        """Wait until the replica is the primary; then exchange the two names."""
        self._wait("the replica is promoted", self._is_promoted)
        self.primary, self.replica = self.replica, self.primary

    def _is_promoted(self) -> bool:
        lines = self.ask("SENTINEL", "MASTER", SERVICE).splitlines()
        known = dict(zip(lines[::2], lines[1::2], strict=False))
        return (
            known.get("port") == str(self.replica.port)
            and known["flags"] == "master"  # the failover is over
            and "role:master" in self.replica.command("INFO", "replication")
        )

    def wait_for_clients(self, count: int) -> None:
        """Wait until so many connections of nodes have come to the primary."""
        self._wait(
            "the nodes have come",
            lambda: self.primary.command("CLIENT", "LIST").count(" name=streamd-") >= count,
        )

    def kill_primary(self) -> None:
        """Kill the primary, and wait until the replica has taken over."""
        self.primary.kill()
        self.wait_for_promotion()

    def stop_replica(self) -> None:
        """Stop the replica, and let it receive nothing of what the primary writes from now on."""
        self.replica.signal(signal.SIGSTOP)
        self.primary.command("CLIENT", "KILL", "TYPE", "replica")

    def continue_replica(self) -> None:
        """Let the replica go on."""
        self.replica.signal(signal.SIGCONT)

    def restart_replica(self) -> None:
        """Start the server that was killed as the replica, and wait until it is ready to take over."""
        self.replica.start("--replicaof", HOST, str(self.primary.port))
        self._wait("the sentinel knows the replica", self._is_complete)

    def stop(self) -> None:
        """End all."""
        for server in (self.primary, self.replica):
            server.kill()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _wait(self, what: str, holds: object) -> None:
        assert callable(holds)
        deadline = time.monotonic() + _WAIT_SECONDS
        while not holds():
            assert time.monotonic() < deadline, f"not yet: {what}"
            time.sleep(0.02)


def _offset(server: RedisServer, name: str) -> int:
    fields = dict(line.split(":") for line in server.command("INFO", "replication").split() if ":" in line)
    return int(fields[name])


@contextmanager
def sentinels(folder: Path, *options: str) -> Iterator[Sentinels]:
    """Run two servers and a sentinel while the block lasts.

    Args:
        folder: for their files.
        options: of the servers.
    """
    rig = Sentinels(folder, *options)
    try:
        rig.start()
        yield rig
    finally:
        rig.stop()
