"""``/openapi.json`` against the structure that OpenAPI 3.1 asks for, and against the routes there are."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from streamd import create_app
from streamd.api.problems import CONTENT_TYPE as PROBLEM

METHODS = frozenset({"get", "put", "post", "delete", "options", "head", "patch", "trace"})
PLACES = frozenset({"query", "header", "path", "cookie"})
TYPES = frozenset({"null", "boolean", "object", "array", "number", "string", "integer"})
STATUS = re.compile(r"[1-5](\d\d|XX)|default")
MEDIA_TYPE = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+*-]+(;.*)?")
BLUEPRINTS = ("streamd_events.", "streamd_operations.")

Operation = tuple[str, dict[str, Any]]
lacking = pytest.mark.xfail(strict=True, reason="the document does not have it yet")


@pytest.fixture
async def document() -> dict[str, Any]:
    answer = await create_app().test_client().get("/openapi.json")
    assert answer.status_code == 200
    assert answer.mimetype == "application/json"
    document: dict[str, Any] = await answer.get_json()
    return document


def operations(document: dict[str, Any]) -> list[Operation]:
    """Every operation, with its name for messages."""
    return [
        (f"{method.upper()} {path}", operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    ]


def contents(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """What every request body and every answer consists of, by media type."""
    for name, operation in operations(document):
        if "requestBody" in operation:
            yield f"{name}: body", operation["requestBody"]["content"]
        for status, answer in operation["responses"].items():
            yield f"{name}: {status}", answer.get("content", {})


def schemas(document: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Every schema that is not part of another."""
    yield from document.get("components", {}).get("schemas", {}).items()
    for name, operation in operations(document):
        for parameter in operation.get("parameters", []):
            yield f"{name}: {parameter['name']}", parameter["schema"]
    for name, content in contents(document):
        for media_type, media in content.items():
            yield f"{name}: {media_type}", media["schema"]


def walk(value: Any) -> Iterator[dict[str, Any]]:
    """Every JSON object in a value, itself included."""
    if isinstance(value, dict):
        yield value
        for member in value.values():
            yield from walk(member)
    elif isinstance(value, list):
        for member in value:
            yield from walk(member)


def find(document: Any, reference: str) -> bool:
    """Whether a reference leads anywhere within the document (RFC 6901)."""
    if not reference.startswith("#/"):
        return False
    for step in reference[2:].split("/"):
        name = step.replace("~1", "/").replace("~0", "~")
        if not isinstance(document, dict) or name not in document:
            return False
        document = document[name]
    return True


def check_schema(name: str, schema: Any) -> None:
    """The keywords that are used are used as JSON Schema 2020-12 defines them."""
    assert isinstance(schema, dict), name
    types = schema.get("type", [])
    assert {types} if isinstance(types, str) else set(types) <= TYPES, name
    assert isinstance(schema.get("enum", []), list), name
    assert isinstance(schema.get("required", []), list), name
    assert set(schema.get("required", [])) <= set(schema.get("properties", {})), name
    if "pattern" in schema:
        re.compile(schema["pattern"])
    for keyword in ("anyOf", "oneOf", "allOf"):
        assert schema.get(keyword) != [], name
        for part in schema.get(keyword, []):
            check_schema(f"{name}/{keyword}", part)
    for member, part in schema.get("properties", {}).items():
        check_schema(f"{name}/{member}", part)
    for keyword in ("items", "additionalProperties"):
        if not isinstance(schema.get(keyword, True), bool):
            check_schema(f"{name}/{keyword}", schema[keyword])


async def test_it_says_what_it_is(document: dict[str, Any]) -> None:
    assert re.fullmatch(r"3\.1\.\d+", document["openapi"])
    assert document["info"]["title"] == "streamd"
    assert document["info"]["version"]
    assert document["paths"]
    known = {"openapi", "info", "servers", "paths", "webhooks", "components", "security", "tags"}
    assert set(document) <= known | {"jsonSchemaDialect", "externalDocs"}


async def test_every_route_of_the_api_is_in_it_and_nothing_else(document: dict[str, Any]) -> None:
    routes = {
        (rule.rule, method.lower())
        for rule in create_app().url_map.iter_rules()
        if rule.endpoint.startswith(BLUEPRINTS) and not rule.websocket
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert ("/events", "get") in routes
    described = {
        (path, method) for path, item in document["paths"].items() for method in item if method in METHODS
    }
    assert described == routes


async def test_every_operation_has_a_name_and_says_what_it_does(document: dict[str, Any]) -> None:
    identifiers = [operation["operationId"] for _, operation in operations(document)]
    assert len(set(identifiers)) == len(identifiers)
    assert [name for name, operation in operations(document) if not operation["summary"].strip()] == []


async def test_parameters_are_named_once_and_have_a_schema(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        parameters = operation.get("parameters", [])
        keys = [(parameter["name"], parameter["in"]) for parameter in parameters]
        assert len(set(keys)) == len(keys), name
        assert {place for _, place in keys} <= PLACES, name
        assert all("schema" in parameter for parameter in parameters), name
        in_path = {parameter["name"] for parameter in parameters if parameter["in"] == "path"}
        assert in_path == set(re.findall(r"{(\w+)}", name)), name


async def test_answers_have_a_status_a_description_and_media_types(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        for status, answer in operation["responses"].items():
            assert STATUS.fullmatch(status), (name, status)
            assert answer["description"].strip(), (name, status)
    for name, content in contents(document):
        for media_type, media in content.items():
            assert MEDIA_TYPE.fullmatch(media_type), name
            assert "schema" in media, name


async def test_schemas_are_schemas(document: dict[str, Any]) -> None:
    found = list(schemas(document))
    assert found
    for name, schema in found:
        check_schema(name, schema)


@lacking
async def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    references = {str(part["$ref"]) for part in walk(document) if "$ref" in part}
    assert references
    assert sorted(reference for reference in references if not find(document, reference)) == []


@lacking
async def test_every_operation_says_what_success_is(document: dict[str, Any]) -> None:
    without = [
        name
        for name, operation in operations(document)
        if not any(status.startswith("2") or status == "default" for status in operation["responses"])
    ]
    assert without == []


@lacking
async def test_the_stream_is_an_event_stream(document: dict[str, Any]) -> None:
    assert "text/event-stream" in document["paths"]["/events"]["get"]["responses"]["200"]["content"]


@lacking
async def test_refusals_are_problems(document: dict[str, Any]) -> None:
    others = [
        f"{name}: {status}: {', '.join(answer.get('content', {}))}"
        for name, operation in operations(document)
        for status, answer in operation["responses"].items()
        if status.startswith(("4", "5")) and PROBLEM not in answer.get("content", {})
    ]
    assert others == []


@lacking
async def test_the_refusals_that_there_are_are_in_it(document: dict[str, Any]) -> None:
    """What the other tests of the API are answered, by operation."""
    there_are = {
        "GET /events": {"400", "429", "503"},
        "GET /events/poll": {"400", "429", "503"},
        "POST /events": {"400", "409", "413", "415", "503"},
        "GET /connections": {"400"},
        "GET /health/ready": {"503"},
    }
    described = {name: set(operation["responses"]) for name, operation in operations(document)}
    missing = {name: sorted(there_are[name] - described[name]) for name in there_are}
    assert {name: statuses for name, statuses in missing.items() if statuses} == {}


@lacking
async def test_what_may_be_sent_is_in_it(document: dict[str, Any]) -> None:
    body = document["paths"]["/events"]["post"]["requestBody"]["content"]
    parameters = document["paths"]["/events"]["get"]["parameters"]
    assert "application/x-ndjson" in body
    assert ("Last-Event-ID", "header") in {(parameter["name"], parameter["in"]) for parameter in parameters}
