"""``/openapi.json``: the document that quart-schema builds from the views, with three corrections.

quart-schema takes every body for the JSON of one model; bodies here may have several media types and models.
It leaves out models that other models refer to. And it names an operation by its view alone, while several
services have a view called ``cancel``.
"""

import inspect
from collections.abc import Callable
from typing import Any, Final

from msgspec import Struct
from msgspec.json import schema_components
from quart_schema.openapi import OpenAPIProvider
from quart_schema.validation import DataSource

from .json import JSON
from .schema import MediaTypes

_Object = dict[str, Any]

_COMPONENTS: Final = "#/components/schemas/"
_SUFFIX: Final = "Schema"
"""The end of a class name that is left out of its component's name."""


class Document(OpenAPIProvider):
    """The OpenAPI provider of the server; it leaves models other than msgspec structs to quart-schema."""

    def operation_id(self, method: str, path: str, func: Callable[..., Any]) -> str | None:
        """Return the view's name after that of its module, or of its package for a service's ``routes``."""
        *_, package, module, name = f"{func.__module__}.{func.__name__}".split(".")
        return f"{method}_{package if module == 'routes' else module}_{name}"

    def build_request_body(self, model: Any, source: DataSource) -> tuple[_Object, _Object]:
        if not _is_struct(model):
            return super().build_request_body(model, source)
        content, components = describe_body(model)
        required = getattr(model, "body_required", True)
        return {"description": inspect.getdoc(model), "required": required, "content": content}, components

    def build_response_object(self, model: Any, headers_model: Any) -> tuple[_Object, _Object]:
        if not _is_struct(model):
            return super().build_response_object(model, headers_model)
        content, components = describe_body(model)
        response: _Object = {"description": inspect.getdoc(model), "content": content}
        if headers_model is not None:
            parameters, _ = self.build_headers_parameters(headers_model)
            response["headers"] = {
                parameter.pop("name"): {key: value for key, value in parameter.items() if key != "in"}
                for parameter in parameters
            }
        return response, components


def _is_struct(model: Any) -> bool:
    return inspect.isclass(model) and issubclass(model, Struct)


def _media_types(model: type[Struct]) -> MediaTypes:
    declared = getattr(model, "__media_types__", None)
    return declared() if declared is not None else {JSON: (model,)}


def describe_body(model: type[Struct]) -> tuple[_Object, _Object]:
    """Return the content of a body, and the schemas of all models that it refers to by component name."""
    content: _Object = {}
    components: _Object = {}
    for media_type, types in _media_types(model).items():
        schemas, named = schema_components(types, ref_template=_COMPONENTS + "{name}")
        schemas, named = _rename(list(schemas)), _rename(named)
        content[media_type] = {"schema": schemas[0] if len(schemas) == 1 else {"anyOf": schemas}}
        components |= {name.removesuffix(_SUFFIX): schema for name, schema in named.items()}
    return content, components


def _rename(schema: Any) -> Any:
    """Remove the suffix of class names from titles and references."""
    if isinstance(schema, list):
        return [_rename(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    renamed = {key: _rename(value) for key, value in schema.items()}
    if isinstance(schema.get("title"), str):
        renamed["title"] = schema["title"].removesuffix(_SUFFIX)
    if isinstance(schema.get("$ref"), str):
        renamed["$ref"] = schema["$ref"].removesuffix(_SUFFIX)
    return renamed
