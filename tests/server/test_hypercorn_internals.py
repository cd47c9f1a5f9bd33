"""Hypercorn's private parts are touched in one package only, which says what breaks when they change."""

import ast
import inspect
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypercorn.protocol.h2 import H2Protocol, StreamBuffer
from hypercorn.protocol.http_stream import HTTPStream
from hypercorn.protocol.ws_stream import WSStream
from hypercorn.trio.lifespan import Lifespan
from hypercorn.trio.worker_context import WorkerContext

import streamd

PACKAGE = Path(streamd.__file__).parent
SERVER = PACKAGE / "server"
INTERNALS = {*(SERVER / "hypercorn_internals").glob("*.py")}
DOCUMENTED = {"hypercorn", "hypercorn.config", "hypercorn.trio", "hypercorn.typing"}
CLASSES = (H2Protocol, HTTPStream, Lifespan, StreamBuffer, WorkerContext, WSStream)
# Attributes of Hypercorn's classes that objects of streamd and of the standard library have, too.
SHARED_NAMES = {
    "app",  # ServerContext
    "closed",  # Output
    "config",  # ServerContext
    "connection",  # of HTTP2Protocol: h2's, which is documented
    "handshake",  # TLS
    "response",  # of an event of wsproto: the frame that answers it
    "send",  # Output
    "server",  # Settings
    "shutdown",  # a socket
    "state",  # ServerContext
    "stream_id",  # h2's word, too
}


def attributes_of(class_: type) -> Iterator[str]:
    """Yield the attributes that a class of Hypercorn sets on its instances, and its private methods."""
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(class_)))):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("_"):
            yield node.name


HYPERCORN_NAMES = {
    name for class_ in CLASSES for name in attributes_of(class_) if not name.startswith("__")
} - SHARED_NAMES


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def undocumented_imports(path: Path) -> list[str]:
    names: list[str] = []
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            names += (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            names.append(node.module)
    return [name for name in names if name.split(".")[0] == "hypercorn" and name not in DOCUMENTED]


def hypercorn_attributes(path: Path) -> list[str]:
    """Find attributes by name, except private ones of the module's own objects (``self._flush``)."""
    return [
        f"line {node.lineno}: .{node.attr}"
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Attribute) and node.attr in HYPERCORN_NAMES and not is_own(node)
    ]


def is_own(node: ast.Attribute) -> bool:
    return node.attr.startswith("_") and isinstance(node.value, ast.Name) and node.value.id == "self"


def private_attributes(path: Path) -> list[str]:
    """Find private attributes of other objects, such as a connection of h2; those of sys are documented."""
    return [
        f"line {node.lineno}: .{node.attr}"
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Attribute)
        and node.attr.startswith("_")
        and not node.attr.endswith("__")
        and not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls", "sys"))
    ]


def relative(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def test_the_checks_find_what_the_one_package_does() -> None:
    imports = [name for path in INTERNALS for name in undocumented_imports(path)]
    assert "hypercorn.protocol.h2" in imports
    attributes = [attribute for path in INTERNALS for attribute in hypercorn_attributes(path)]
    assert any(".stream_buffers" in attribute for attribute in attributes)
    assert {"has_data", "app_put", "_create_stream", "terminated"} <= HYPERCORN_NAMES


@pytest.mark.parametrize("path", sorted({*PACKAGE.rglob("*.py")} - INTERNALS), ids=relative)
def test_other_modules_import_what_hypercorn_documents(path: Path) -> None:
    assert undocumented_imports(path) == []


@pytest.mark.parametrize("path", sorted({*SERVER.rglob("*.py")} - INTERNALS), ids=relative)
def test_other_modules_of_the_server_do_not_touch_attributes_of_hypercorn(path: Path) -> None:
    assert hypercorn_attributes(path) == []


@pytest.mark.parametrize("path", sorted({*SERVER.rglob("*.py")} - INTERNALS), ids=relative)
def test_no_private_attribute_of_another_object_is_touched(path: Path) -> None:
    assert private_attributes(path) == []
