"""The parts of the document at ``/openapi.json``."""

from collections.abc import Iterator
from typing import Any

METHODS = frozenset({"get", "put", "post", "delete", "options", "head", "patch", "trace"})

PYTHON_TYPES: dict[str, Any] = {
    "null": type(None),
    "boolean": bool,
    "object": dict,
    "array": list,
    "number": (int, float),
    "string": str,
    "integer": int,
}

Operation = tuple[str, dict[str, Any]]


def operations(document: dict[str, Any]) -> list[Operation]:
    """List the operations, each with its method and path."""
    return [
        (f"{method.upper()} {path}", operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    ]


def contents(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the content of every request body and response, by media type."""
    for name, operation in operations(document):
        if "requestBody" in operation:
            yield f"{name}: body", operation["requestBody"]["content"]
        for status, answer in operation["responses"].items():
            yield f"{name}: {status}", answer.get("content", {})


def schemas(document: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield every schema that is not part of another one."""
    yield from document.get("components", {}).get("schemas", {}).items()
    for name, operation in operations(document):
        for parameter in operation.get("parameters", []):
            yield f"{name}: {parameter['name']}", parameter["schema"]
    for name, content in contents(document):
        for media_type, media in content.items():
            yield f"{name}: {media_type}", media["schema"]


def walk(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every JSON object in a value, itself included."""
    if isinstance(value, dict):
        yield value
        for member in value.values():
            yield from walk(member)
    elif isinstance(value, list):
        for member in value:
            yield from walk(member)


def resolves(document: Any, reference: str) -> bool:
    """Return whether a reference resolves within the document (RFC 6901)."""
    if not reference.startswith("#/"):
        return False
    for step in reference[2:].split("/"):
        name = step.replace("~1", "/").replace("~0", "~")
        if not isinstance(document, dict) or name not in document:
            return False
        document = document[name]
    return True


def resolve(document: dict[str, Any], schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the alternatives of a schema, without references."""
    if "$ref" in schema:
        yield from resolve(document, document["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    elif "anyOf" in schema:
        for part in schema["anyOf"]:
            yield from resolve(document, part)
    else:
        yield schema
