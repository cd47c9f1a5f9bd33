"""The pages' scripts, bundled and minified by esbuild, and the sizes of the bundles."""

import os
import shutil
import subprocess
from collections.abc import Iterable
from typing import Final

import attrs

from ..missing import Missing
from .clients import CLIENTS, MODULES, OURS, PAGES, BrowserClient

_ESBUILD_ARGUMENTS: Final = (
    "--bundle",
    "--minify",
    "--format=esm",
    "--target=es2022",
    "--charset=utf8",
    "--legal-comments=none",
)
_ESBUILD_SECONDS: Final = 60
# Node has the Brotli that servers use; Python has none.
_BROTLI: Final = (
    "process.stdout.write(String(require('zlib').brotliCompressSync(require('fs').readFileSync(0)).length))"
)


@attrs.frozen
class Size:
    """The size of a minified module (bytes)."""

    minified: int
    brotli: int


def page_scripts() -> dict[str, bytes]:
    """Bundle the page script of every client, by its name.

    Raises:
        Missing: a package, esbuild, or the built streamd-client is missing.
    """
    for client in CLIENTS:
        client.version()
    return {client.page: _bundle(f'import "{PAGES / client.page}.js"') for client in CLIENTS}


def library_sizes(clients: Iterable[BrowserClient]) -> dict[str, Size]:
    """Return the size of each client's library alone, by the client's name; 0 for the browser's own class."""
    return {client.name: _library_size(client) for client in clients}


def _library_size(client: BrowserClient) -> Size:
    return measure_size(_bundle(client.library)) if client.library else Size(0, 0)


def measure_size(content: bytes) -> Size:
    """Measure a module, also compressed at Brotli's highest level."""
    done = subprocess.run(["node", "-e", _BROTLI], input=content, capture_output=True, check=True, timeout=60)
    return Size(len(content), int(done.stdout))


def _bundle(source: str) -> bytes:
    """Bundle a module with what it imports."""
    _link_ours()
    command = [str(MODULES / ".bin" / "esbuild"), *_ESBUILD_ARGUMENTS]
    done = subprocess.run(
        command,
        input=source.encode(),
        capture_output=True,
        env={**os.environ, "NODE_PATH": str(MODULES)},
        timeout=_ESBUILD_SECONDS,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"esbuild failed: {done.stderr.decode()}")
    return done.stdout


def _link_ours() -> None:
    """Let esbuild find the built streamd-client as an installed package."""
    if not (OURS / "dist" / "streamd.js").exists():
        raise Missing("streamd/web/client/dist is missing: run `npm run build` there")
    if not (MODULES / ".bin" / "esbuild").exists():
        raise Missing("esbuild is not installed: run `python -m bench install`")
    if shutil.which("node") is None:
        raise Missing("Node is not installed: install the Debian packages nodejs and npm")
    link = MODULES / "streamd-client"
    if link.is_symlink() and link.resolve() == OURS:
        return
    link.unlink(missing_ok=True)
    link.symlink_to(OURS)
