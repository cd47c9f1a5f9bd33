"""Files for browsers: the page, and the browser client."""

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
"""Fixed here, because the mimetypes module depends on the tables of the machine."""
_PACKAGE: Final = __name__.partition(".")[0]


@attrs.frozen
class Asset:
    """One file in memory, with the headers that describe it."""

    content: bytes = attrs.field(repr=False)
    content_type: str
    etag: str  # a hash of the content: the same on every node and after every start


def load_assets(folder: str, suffix: str = "") -> Mapping[str, Asset]:
    """Read the files of a folder, by their paths below it such as ``js/main.js``.

    The files are few and small, so they stay in memory, and no request can name any other file.

    Args:
        folder: its path in the package, such as ``http/static``.
        suffix: read only files whose names end with it.

    Raises:
        KeyError: a file has a suffix that :data:`CONTENT_TYPES` does not know.
    """
    root = resources.files(_PACKAGE).joinpath(folder)
    return {path: _asset(path, file.read_bytes()) for path, file in _walk(root) if path.endswith(suffix)}


def _walk(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, Traversable]]:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.name.startswith("."):
            continue  # an editor's backup or swap file
        if entry.is_dir():
            yield from _walk(entry, f"{prefix}{entry.name}/")
        else:
            yield f"{prefix}{entry.name}", entry


def _asset(path: str, content: bytes) -> Asset:
    suffix = path[path.rindex(".") :]
    return Asset(content, CONTENT_TYPES[suffix], hashlib.sha256(content).hexdigest()[:32])
