"""The files of the page."""

import hashlib
from collections.abc import Iterator, Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Final

import attrs

CONTENT_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""Written down, because the mimetypes module answers by the tables of the machine it runs on."""


@attrs.frozen
class Asset:
    """One file, ready to be served."""

    content: bytes = attrs.field(repr=False)
    content_type: str
    etag: str  # of the content, so that it is the same on every node and after every start


def load_assets() -> Mapping[str, Asset]:
    """Read every file under ``static/``, by its path below that folder such as ``js/main.js``.

    They are few and small, so they are kept in memory: no request can name a file that is not among them.

    Raises:
        KeyError: a file has a suffix that :data:`CONTENT_TYPES` does not know.
    """
    root = resources.files(__package__) / "static"
    return {path: _asset(path, file.read_bytes()) for path, file in _walk(root)}


def _walk(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, Traversable]]:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.name.startswith("."):
            continue  # what editors leave behind
        if entry.is_dir():
            yield from _walk(entry, f"{prefix}{entry.name}/")
        else:
            yield f"{prefix}{entry.name}", entry


def _asset(path: str, content: bytes) -> Asset:
    suffix = path[path.rindex(".") :]
    return Asset(content, CONTENT_TYPES[suffix], hashlib.sha256(content).hexdigest()[:32])
