"""``/openapi.json``: what quart-schema makes of the views, with what it cannot say by itself.

It takes every body for the JSON of one model, and leaves out the models that others refer to.
"""

import inspect
from collections.abc import Callable
from typing import Any, Final

from msgspec import Struct
from msgspec.json import schema_components
from quart_schema.openapi import OpenAPIProvider
from quart_schema.validation import DataSource

from . import schema
from .problems import CONTENT_TYPE
from .routes.events import JSON, NDJSON

_Object = dict[str, Any]

BODIES: Final[dict[type, dict[str, tuple[Any, ...]]]] = {
    schema.EventStreamText: {"text/event-stream": (str,)},
    schema.MetricsText: {"text/plain": (str,)},
    schema.Problem: {CONTENT_TYPE: (schema.Problem,)},
    schema.Publish: {JSON: (schema.Publish, list[schema.Publish]), NDJSON: (schema.Publish,)},
    schema.Published: {JSON: (schema.Published, schema.PublishedAll)},
    schema.PublishedLine: {NDJSON: (schema.PublishedLine,)},
    schema.Nothing: {},
    schema.AnyJson: {JSON: (Any,)},
}
"""By media type, the types that a body may have, where it is not the JSON of its model."""


class Document(OpenAPIProvider):
    """Builds the document; models of other kinds than streamd's own are left to quart-schema."""

    def operation_id(self, method: str, path: str, func: Callable[..., Any]) -> str | None:
        """Return the view's name after that of its module, or of its package for a service's ``routes``."""
        *_, package, module, name = f"{func.__module__}.{func.__name__}".split(".")
        return f"{method}_{package if module == 'routes' else module}_{name}"

    def build_request_body(self, model: Any, source: DataSource) -> tuple[_Object, _Object]:
        if not _is_struct(model):
            return super().build_request_body(model, source)
        content, components = _describe(model)
        return {"description": inspect.getdoc(model), "required": True, "content": content}, components

    def build_response_object(self, model: Any, headers_model: Any) -> tuple[_Object, _Object]:
        if not _is_struct(model):
            return super().build_response_object(model, headers_model)
        content, components = _describe(model)
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


def _describe(model: type[Struct]) -> tuple[_Object, _Object]:
    """The content of a body, and every model that it refers to, by name."""
    content: _Object = {}
    components: _Object = {}
    for media_type, types in BODIES.get(model, {JSON: (model,)}).items():
        schemas, named = schema_components(types, ref_template="#/components/schemas/{name}")
        content[media_type] = {"schema": schemas[0] if len(schemas) == 1 else {"anyOf": list(schemas)}}
        components |= named
    return content, components
