"""The component names of ``/openapi.json``: one for each model, whatever its class is called.

msgspec names the components of one call. Two calls may give one name to two classes, and two classes with the
same module and name, such as those of a function that was called twice, end a call with a KeyError. So the
names are given here, for all models of an application at once.

This is the only module that uses private parts of msgspec, whose version ``pyproject.toml`` therefore bounds.
They are imported with the first request for the document, so that only that fails when they move:

============================  ================================================
relied on                     what it does
============================  ================================================
``_collect_component_types``  finds the models that a type refers to
``_SchemaGenerator``          builds schemas with the names that are given here
============================  ================================================
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from msgspec import inspect as types

JsonSchema = dict[str, Any]

_PREFIX: Final = "#/components/schemas/"
_SUFFIX: Final = "Schema"
"""The end of a class name that is left out of its component's name."""


class Components:
    """The named schemas of all models of an application.

    A component has the name of its class without the suffix ``Schema``. If an earlier model has that name, it
    is preceded by the module, and a number follows if that is taken too. Earlier models keep their names
    when others are added.

    Args:
        models: types that msgspec knows, in the order of their routes.

    Attributes:
        schemas: by component name.
    """

    def __init__(self, models: Iterable[Any]) -> None:
        from msgspec._json_schema import _collect_component_types, _SchemaGenerator

        found = _collect_component_types(types.multi_type_info(models))
        self._names = _name_all(found)
        self._generator = _SchemaGenerator(self._names, None, _PREFIX + "{name}")
        self.schemas: Final[dict[str, JsonSchema]] = {}
        for cls, info in found.items():
            schema = self._generator.to_schema(info, False)
            if "title" in schema:
                schema["title"] = schema["title"].removesuffix(_SUFFIX)
            self.schemas[self._names[cls]] = schema

    def describe(self, model: Any) -> JsonSchema:
        """Return the schema of a type: a reference if it has a component."""
        schema: JsonSchema = self._generator.to_schema(types.type_info(model))
        return schema

    def resolve(self, model: Any) -> JsonSchema:
        """Return the schema of a type itself, with references to the others."""
        schema = self.describe(model)
        return self.schemas[schema["$ref"].removeprefix(_PREFIX)] if "$ref" in schema else schema

    def used_by(self, document: Any) -> dict[str, JsonSchema]:
        """Return the components that a document refers to, also through each other."""
        used: dict[str, JsonSchema] = {}
        found = list(_references(document))
        while found:
            name = found.pop()
            if name not in used and name in self.schemas:
                used[name] = self.schemas[name]
                found += _references(used[name])
        return {name: schema for name, schema in self.schemas.items() if name in used}


def _name_all(models: Iterable[Any]) -> dict[Any, str]:
    """Give each class a name of its own."""
    names: dict[Any, str] = {}
    taken: set[str] = set()
    for cls in models:
        name = next(name for name in _candidates(cls) if name not in taken)
        names[cls] = name
        taken.add(name)
    return names


def _candidates(cls: Any) -> Iterator[str]:
    """Yield the names that a class may have, the shortest first."""
    short = _plain(_class_name(cls)).removesuffix(_SUFFIX)
    yield short
    origin = getattr(cls, "__origin__", cls)
    full = f"{_plain(origin.__module__)}.{short}"
    yield full
    number = 2
    while True:
        yield f"{full}-{number}"
        number += 1


def _class_name(cls: Any) -> str:
    """Return the name of a class, with the arguments of a generic one."""
    if not hasattr(cls, "__origin__"):
        return str(cls.__name__)
    arguments = "_".join(getattr(argument, "__name__", str(argument)) for argument in cls.__args__)
    return f"{cls.__origin__.__name__}_{arguments}"


def _plain(name: str) -> str:
    """Replace the characters that a component's name must not have (OpenAPI 3.1 section 4.8.7)."""
    return re.sub(r"[^a-zA-Z0-9._-]", "_", name)


def _references(value: Any) -> Iterator[str]:
    """Yield the names of the components that a JSON value refers to."""
    if isinstance(value, dict):
        reference = value.get("$ref")
        if isinstance(reference, str):
            yield reference.removeprefix(_PREFIX)
        for member in value.values():
            yield from _references(member)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)
