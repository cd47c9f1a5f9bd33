"""``/openapi.json``: the document that quart-schema builds from the views, with six corrections.

quart-schema takes every body for the JSON of one model; bodies here may have several media types and models.
It leaves out models that other models refer to. It gives one name to the models of several services whose
classes have the same name. And it names an operation by its view alone, while several services have a view
called ``cancel``. And it knows neither the URL prefix of the client's requests, nor the
answers that the guard gives before any view.
"""

import hashlib
import inspect
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, Final

import msgspec
import trio
from msgspec import Struct
from quart_schema import QuartSchema, hide
from quart_schema.casing import snake_to_kebab
from quart_schema.openapi import OpenAPIProvider
from quart_schema.validation import (
    QUART_SCHEMA_HEADERS_ATTRIBUTE,
    QUART_SCHEMA_QUERYSTRING_ATTRIBUTE,
    QUART_SCHEMA_REQUEST_ATTRIBUTE,
    QUART_SCHEMA_RESPONSE_ATTRIBUTE,
    DataSource,
)
from quart_trio.wrappers import TrioResponse

from .components import Components, JsonSchema
from .conditions import conditional
from .hosts import UNCHECKED_PATHS
from .json import JSON
from .origins import SAFE_METHODS
from .schema import PROBLEM_JSON, MediaTypes
from .urls import public_url

_SECURITY_SCHEMES: Final[Any] = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A token; a server without keys needs none.",
    },
    "ticket": {
        "type": "apiKey",
        "in": "query",
        "name": "ticket",
        "description": "For one GET or WebSocket, where no header can be sent.",
    },
}
_SECURITY: Final[Any] = [{"bearer": []}, {"ticket": []}, {}]
"""One of them proves the caller; without keys nothing needs to (OpenAPI 3.0, Security Requirement Object)."""

_INVALID_TARGET: Final = "400"
_MISDIRECTED: Final = "421"
_FORBIDDEN: Final = "403"
_PROBLEM: Final[Any] = {
    "description": "RFC 9457 problem details.",
    "content": {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}},
}
_PYDANTIC: Final = ("__pydantic_core_schema__", "__pydantic_fields__")


class Document(OpenAPIProvider):
    """The OpenAPI provider of the server; it leaves models of pydantic to quart-schema."""

    def schema(self) -> dict[str, Any]:
        """Return the document. It is built once: routes are added before the first request."""
        return self._document

    def encode(self) -> bytes:
        """Return the document as JSON. The first time this takes a tenth of a second."""
        text: str = self._app.json.dumps(self._document)
        return text.encode()

    @cached_property
    def _document(self) -> dict[str, Any]:
        document = super().schema()
        own = self._components.used_by(document)
        document["components"]["schemas"] = {**document["components"]["schemas"], **own}
        document["components"]["securitySchemes"] = _SECURITY_SCHEMES
        document["security"] = _SECURITY
        _add_guard_answers(document)
        return document

    @cached_property
    def _components(self) -> Components:
        return Components(self._models())

    def _models(self) -> Iterator[Any]:
        """Yield the models of all routes, in the order of the routes."""
        for rule in self.generate_rules():
            view = self._app.view_functions[rule.endpoint]
            responses = getattr(view, QUART_SCHEMA_RESPONSE_ATTRIBUTE, {}).values()
            bodies = [model for model, _ in responses]
            if (request := getattr(view, QUART_SCHEMA_REQUEST_ATTRIBUTE, None)) is not None:
                bodies.append(request[0])
            for model in filter(_is_described_here, bodies):
                for models in _media_types(model).values():
                    yield from models
            others = [headers for _, headers in responses]
            others.append(getattr(view, QUART_SCHEMA_HEADERS_ATTRIBUTE, None))
            others.append(getattr(view, QUART_SCHEMA_QUERYSTRING_ATTRIBUTE, None))
            yield from filter(_is_described_here, others)

    def operation_id(self, method: str, path: str, func: Callable[..., Any]) -> str | None:
        """Return the view's name after that of its module, or of its package for a service's ``routes``."""
        *_, package, module, name = f"{func.__module__}.{func.__name__}".split(".")
        return f"{method}_{package if module == 'routes' else module}_{name}"

    def build_request_body(self, model: Any, source: DataSource) -> tuple[JsonSchema, JsonSchema]:
        if not _is_described_here(model) or source is not DataSource.JSON:
            return super().build_request_body(model, source)
        required = getattr(model, "body_required", True)
        return {"description": _doc(model), "required": required, "content": self._content(model)}, {}

    def build_response_object(self, model: Any, headers_model: Any) -> tuple[JsonSchema, JsonSchema]:
        if not _is_described_here(model):
            return super().build_response_object(model, headers_model)
        response: JsonSchema = {"description": _doc(model), "content": self._content(model)}
        if headers_model is not None:
            parameters, _ = self.build_headers_parameters(headers_model)
            response["headers"] = {
                parameter.pop("name"): {key: value for key, value in parameter.items() if key != "in"}
                for parameter in parameters
            }
        return response, {}

    def build_querystring_parameters(self, model: Any) -> tuple[list[JsonSchema], JsonSchema]:
        if not _is_described_here(model):
            return super().build_querystring_parameters(model)
        return self._parameters(model, "query"), {}

    def build_headers_parameters(self, model: Any) -> tuple[list[JsonSchema], JsonSchema]:
        if not _is_described_here(model):
            return super().build_headers_parameters(model)
        return self._parameters(model, "header"), {}

    def _content(self, model: Any) -> JsonSchema:
        """Return the schemas of a body by media type."""
        content: JsonSchema = {}
        for media_type, models in _media_types(model).items():
            schemas = [self._components.describe(model) for model in models]
            content[media_type] = {"schema": schemas[0] if len(schemas) == 1 else {"anyOf": schemas}}
        return content

    def _parameters(self, model: Any, location: str) -> list[JsonSchema]:
        """Return the parameters that the members of a model describe."""
        schema = self._components.resolve(model)
        parameters = []
        for name, member in schema["properties"].items():
            shown = snake_to_kebab(name) if location == "header" else name
            parameter: JsonSchema = {"name": shown, "in": location, "schema": dict(member)}
            if name in schema.get("required", ()):
                parameter["required"] = True
            if "description" in member:
                parameter["description"] = parameter["schema"].pop("description")
            parameters.append(parameter)
        return parameters


class SchemaExtension(QuartSchema):
    """quart-schema, whose route for the document lets no cache answer with that of an earlier release.

    The first request makes the document, in a worker thread, and others wait for it.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._making = trio.Lock()
        self._text = b""

    @hide
    async def openapi(self) -> TrioResponse:
        """Return the document.

        Only its ``servers`` depend on the request: a prefix that a proxy adds (OpenAPI 3.0, Server Object).
        """
        provider = self.openapi_provider
        assert isinstance(provider, Document)
        async with self._making:
            if not self._text:
                self._text = await trio.to_thread.run_sync(provider.encode)
        text, prefix = self._text, public_url("")
        if prefix:
            servers = msgspec.json.encode({"servers": [{"url": prefix}]})
            text = text.rstrip().removesuffix(b"}") + b"," + servers.removeprefix(b"{")
        response = TrioResponse(text, mimetype=JSON)
        response.set_etag(hashlib.sha256(text).hexdigest())
        response.headers["Cache-Control"] = "no-cache"
        return conditional(response)


def _add_guard_answers(document: JsonSchema) -> None:
    """Add the answers of :mod:`.guard`, which come before any view is known."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            statuses = [_INVALID_TARGET] if path in UNCHECKED_PATHS else [_INVALID_TARGET, _MISDIRECTED]
            if method.upper() not in SAFE_METHODS:
                statuses.append(_FORBIDDEN)
            for status in statuses:
                operation["responses"].setdefault(status, _PROBLEM)


def _is_described_here(model: Any) -> bool:
    return model is not None and not any(hasattr(model, name) for name in _PYDANTIC)


def _doc(model: Any) -> str:
    """Return the documentation of a model's class; of a type without one, its name."""
    if inspect.isclass(model) and issubclass(model, Struct):
        return inspect.getdoc(model) or ""
    return (inspect.isclass(model) and inspect.getdoc(model)) or str(getattr(model, "__name__", model))


def _media_types(model: Any) -> MediaTypes:
    declared = getattr(model, "__media_types__", None)
    return declared() if declared is not None else {JSON: (model,)}
