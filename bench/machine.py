"""A description of the machine that the figures were measured on."""

import os
import platform
import re
from collections.abc import Iterable
from pathlib import Path

import psutil

from .missing import Missing
from .peers import Peer


def describe_machine() -> dict[str, str | int]:
    """Describe CPU, kernel, memory and Python."""
    found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return {
        "cpu": found.group(1) if found else platform.processor() or platform.machine(),
        "cores": os.cpu_count() or 0,
        "memory_bytes": psutil.virtual_memory().total,
        "kernel": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }


def versions(peers: Iterable[Peer]) -> dict[str, str]:
    """Return the version of each peer, or the reason why it is missing."""
    return {peer.name: _version(peer) for peer in peers}


def _version(peer: Peer) -> str:
    try:
        return peer.version()
    except Missing as error:
        return f"missing: {error}"
