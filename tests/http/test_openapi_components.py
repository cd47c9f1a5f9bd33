"""The models of ``/openapi.json``: each has a component of its own, made once."""

import re
import subprocess
import sys
from enum import StrEnum
from typing import Any

import attrs
import msgspec
from quart import Blueprint
from quart_schema import document_querystring, document_request, document_response

from streamd import create_app
from streamd.extension import Service
from streamd.http.components import Components
from streamd.http.current import EXTENSION
from tests.support.openapi_document import (
    resolve,
    resolves,
    walk,
)


class Colour(StrEnum):
    """The colours of steps."""

    RED = "red"
    GREEN = "green"


def shop_service(number: int) -> Service:
    """Build a service whose models have the names of others, also of those of its other instances."""

    class Item(msgspec.Struct):
        sku: str
        if number == 1:
            amount: int = 0

    class TaskSchema(msgspec.Struct):
        """The same name as a model of streamd."""

        items: list[Item]

    @attrs.define
    class Step:
        colour: str

    class NewOrder(msgspec.Struct):
        """The same name as a model of the purchase orders."""

        item: Item
        step: Step

    class StepFilter(msgspec.Struct):
        colour: Colour = Colour.RED

    blueprint = Blueprint(f"shop_{number}", __name__, url_prefix=f"/shop-{number}")

    @blueprint.post("/orders")
    @document_querystring(StepFilter)
    @document_request(NewOrder)
    @document_response(TaskSchema, 200)
    async def order() -> dict[str, Any]:
        """Order something."""
        return {}

    return Service(blueprint)


async def test_models_of_one_name_have_components_of_their_own() -> None:
    app = create_app()
    for number in (1, 2):
        app.extensions[EXTENSION].add(shop_service(number))
    document = await (await app.test_client().get("/openapi.json")).get_json()
    components = document["components"]["schemas"]
    assert components["Task"]["required"][:2] == ["id", "kind"], "streamd's own models keep their names"
    assert "lines" in components["NewOrder"]["properties"]
    for number in (1, 2):
        operation = document["paths"][f"/shop-{number}/orders"]["post"]
        [parameter] = operation["parameters"]
        assert [schema["enum"] for schema in resolve(document, parameter["schema"])] == [["green", "red"]]
        [body] = resolve(document, operation["requestBody"]["content"]["application/json"]["schema"])
        [answer] = resolve(document, operation["responses"]["200"]["content"]["application/json"]["schema"])
        [item] = resolve(document, body["properties"]["item"])
        [step] = resolve(document, body["properties"]["step"])
        assert list(item["properties"]) == (["sku", "amount"] if number == 1 else ["sku"])
        assert list(step["properties"]) == ["colour"]
        assert answer["properties"]["items"]["items"] == body["properties"]["item"]
        assert (body["title"], answer["title"]) == ("NewOrder", "Task")
    references = {str(part["$ref"]) for part in walk(document) if "$ref" in part}
    assert sorted(reference for reference in references if not resolves(document, reference)) == []


def test_two_distinct_models_never_share_a_component() -> None:
    def make() -> type[msgspec.Struct]:
        class Local(msgspec.Struct):
            name: str

        return Local

    models = [make() for _ in range(5)]
    described = Components([*models, list[models[0]]])  # type: ignore[valid-type]
    names = [described.describe(model)["$ref"].rpartition("/")[2] for model in models]
    assert len(set(names)) == len(described.schemas) == 5
    assert names[0] == "Local"
    assert all(re.fullmatch(r"[a-zA-Z0-9._-]+", name) for name in names)
    assert Components(models[:3]).schemas.keys() <= described.schemas.keys(), "names stay when models follow"


async def test_the_document_is_built_once() -> None:
    client = create_app().test_client()
    answer = await client.get("/openapi.json")
    first = await answer.get_data()
    calls = 0

    def count(*_: Any) -> None:
        nonlocal calls
        calls += 1

    sys.setprofile(count)  # of this thread, which runs the views
    try:
        again = await client.get("/openapi.json")
    finally:
        sys.setprofile(None)
    assert await again.get_data() == first
    assert calls < 20_000, "the document is not translated for each request"
    known = await client.get("/openapi.json", headers={"If-None-Match": answer.headers["ETag"]})
    assert (known.status_code, await known.get_data()) == (304, b"")


WITHOUT_PRIVATE_PARTS = """
import msgspec._json_schema, trio
del msgspec._json_schema._collect_component_types, msgspec._json_schema._SchemaGenerator
from streamd import create_app

async def main():
    http = create_app().test_client()
    for path in ("/connections", "/openapi.json"):
        print((await http.get(path)).status_code)

trio.run(main)
"""


def test_another_msgspec_breaks_the_document_alone() -> None:
    command = [sys.executable, "-c", WITHOUT_PRIVATE_PARTS]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert [line for line in done.stdout.splitlines() if line.isdigit()] == ["200", "500"]
