"""Invalid requests to start a session, each refused with the name of its field."""

from typing import Any

import attrs
import httpx

from streamd.services.research.settings import ResearchSettings
from streamd.settings import Settings
from streamd.testing import RunningServer, run_server
from tests.support.research_rig import REQUEST, TRAVERSALS


async def post(server: RunningServer, **request: Any) -> httpx.Response:
    async with httpx.AsyncClient(base_url=server.url, trust_env=False) as client:
        return await client.post("/research/stream", **request)


def problem(answer: httpx.Response) -> tuple[int, str, str | None]:
    assert answer.headers["content-type"] == "application/problem+json"
    fields = answer.json()
    return fields["status"], fields["code"], fields.get("field")


async def test_unknown_area_is_answered_with_the_known_ones(streamd_server: RunningServer) -> None:
    answer = await post(streamd_server, json=REQUEST | {"areaId": "decision-makers"})
    assert problem(answer) == (400, "invalid-field", "areaId")
    assert "decision_makers" in answer.json()["detail"]
    assert "company_overview" in answer.json()["detail"]


async def test_each_field_is_a_required_text_of_limited_length(streamd_server: RunningServer) -> None:
    for field in REQUEST:
        without = {name: value for name, value in REQUEST.items() if name != field}
        assert problem(await post(streamd_server, json=without)) == (400, "invalid-body", field)
        for value in (None, 3, ["x"], {"x": 1}, True):
            answer = await post(streamd_server, json=REQUEST | {field: value})
            assert problem(answer) == (400, "invalid-body", field)
        for text in ("", "  \t ", "x" * 201, "a\nb", "a\0b"):
            answer = await post(streamd_server, json=REQUEST | {field: text})
            assert problem(answer) == (400, "invalid-field", field)


async def test_company_id_that_could_be_a_path_is_refused(streamd_server: RunningServer) -> None:
    # White space around a text is stripped.
    refused = [text for text in TRAVERSALS if text.strip() != "acme"]
    for company_id in [*refused, "a b", "ä", "a:b", "{x}"]:
        answer = await post(streamd_server, json=REQUEST | {"companyId": company_id})
        assert problem(answer) == (400, "invalid-field", "companyId")


async def test_white_space_around_texts_is_stripped(streamd_server: RunningServer) -> None:
    answer = await post(streamd_server, json={name: f" {value}\n" for name, value in REQUEST.items()})
    assert answer.status_code == 202
    tasks = streamd_server.streamd.runtime.tasks
    assert await tasks.input(answer.json()["researchSessionId"], kind="research") == REQUEST


async def test_invalid_bodies_are_refused(streamd_server: RunningServer) -> None:
    for content in (b"", b"{", b"[]", b"3", b'"x"', b"\xff", b"[" * 10_000):
        answer = await post(streamd_server, content=content, headers={"Content-Type": "application/json"})
        assert problem(answer)[:2] == (400, "invalid-body")


async def test_other_content_types_are_refused(streamd_server: RunningServer) -> None:
    for content_type in ("text/plain", "application/x-www-form-urlencoded", ""):
        answer = await post(streamd_server, content=b"{}", headers={"Content-Type": content_type})
        assert problem(answer) == (415, "unsupported-media-type", "Content-Type")


async def test_body_limit_is_exact() -> None:
    settings = attrs.evolve(Settings(), research=ResearchSettings(max_body_bytes=200))
    async with run_server(settings) as server:
        for size, status in ((200, 202), (201, 413)):
            body = httpx.Request("POST", server.url, json=REQUEST).read()
            content = body + b" " * (size - len(body))
            answer = await post(server, content=content, headers={"Content-Type": "application/json"})
            assert answer.status_code == status
        assert problem(answer) == (413, "too-large", "body")


async def test_disabled_service_is_not_found() -> None:
    settings = attrs.evolve(Settings(), research=ResearchSettings(enabled=False))
    async with run_server(settings) as server:
        assert (await post(server, json=REQUEST)).status_code == 404


async def test_endpoints_are_in_the_openapi_document(streamd_server: RunningServer) -> None:
    async with httpx.AsyncClient(base_url=streamd_server.url, trust_env=False) as client:
        paths = (await client.get("/openapi.json")).json()["paths"]
    start = paths["/research/stream"]["post"]
    assert set(start["responses"]) == {
        "202",
        "400",
        "401",
        "403",
        "409",
        "413",
        "415",
        "421",
        "429",
        "503",
        "504",
    }
    names = {"events", "status", "result"}
    assert names <= {path.rpartition("/")[2] for path in paths if path.startswith("/research/stream/")}
