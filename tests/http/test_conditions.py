"""``If-Match`` and ``If-None-Match`` on every route that sends an ``ETag`` (RFC 9110 section 13)."""

from collections.abc import AsyncIterator

import httpx
import pytest
import trio

from streamd.app import create_app
from streamd.errors import PreconditionFailed
from streamd.http.conditions import Conditions
from streamd.server.settings import ServerSettings
from streamd.settings import Settings
from tests.support.api import Api, check_problem, serving_api

SECONDS = 30
PAGE = "https://app.example"
OWN = '"7"'
SAME = ['"7"', "*", " * ", '"6", "7"', '"6","7" , "8"', '"a,b", "7"']
OTHER = ['"6"', '""', '"77"', '"6, 7"', "7", "", '"7', "**", '"a", *']
WEAK = ['W/"7"', '"6", W/"7"']


# --- the comparison -------------------------------------------------------------------------------


@pytest.mark.parametrize("tags", SAME)
def test_a_tag_of_the_list_or_the_star_matches(tags: str) -> None:
    Conditions(if_match=tags).check(OWN)
    assert not Conditions(if_match=tags).is_unchanged(OWN)
    assert Conditions(if_none_match=tags).is_unchanged(OWN)
    with pytest.raises(PreconditionFailed, match="If-None-Match"):
        Conditions(if_none_match=tags).check(OWN)


@pytest.mark.parametrize("tags", OTHER)
def test_other_and_malformed_tags_do_not_match(tags: str) -> None:
    Conditions(if_none_match=tags).check(OWN)
    assert not Conditions(if_none_match=tags).is_unchanged(OWN)
    for decide in (Conditions(if_match=tags).check, Conditions(if_match=tags).is_unchanged):
        with pytest.raises(PreconditionFailed, match="If-Match"):
            decide(OWN)


@pytest.mark.parametrize("tags", WEAK)
def test_a_weak_tag_matches_weakly_alone(tags: str) -> None:
    assert Conditions(if_none_match=tags).is_unchanged(OWN)
    with pytest.raises(PreconditionFailed):
        Conditions(if_match=tags).check(OWN)


@pytest.mark.parametrize("tags", ['"7"', 'W/"7"'])
def test_a_weak_tag_of_the_resource_matches_weakly_alone(tags: str) -> None:
    assert Conditions(if_none_match=tags).is_unchanged('W/"7"')
    with pytest.raises(PreconditionFailed):
        Conditions(if_match=tags).check('W/"7"')


def test_if_match_is_looked_at_first() -> None:
    with pytest.raises(PreconditionFailed, match="If-Match"):
        Conditions(if_match='"6"', if_none_match="*").is_unchanged(OWN)


# --- routes ---------------------------------------------------------------------------------------


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    with trio.fail_after(SECONDS):
        async with serving_api(Settings(server=ServerSettings(cors_origins=[PAGE]))) as api:
            yield api


async def create(api: Api, id: str = "t") -> httpx.Response:
    body = {"kind": "k", "id": id, "worker": "w"}
    answer = await api.http.post("/tasks", json=body)
    assert answer.status_code == 201
    return answer


READ = ["/", "/openapi.json", "/static/app.css", "/client/streamd.js", "/tasks/t", "/api/v2/metrics"]


async def test_every_route_that_sends_an_etag_is_tested() -> None:
    app = create_app()
    files = ("/static/", "/client/")
    rules = [rule.rule for rule in app.url_map.iter_rules() if "GET" in (rule.methods or ())]
    found = set()
    async with serving_api(app=app) as api:
        await create(api)
        for rule in rules:
            path = rule.replace("<task_id>", "t").replace("<", "").replace(">", "")
            async with api.http.stream("GET", path, params={"topic": "a", "wait": "0"}) as answer:
                if "etag" in answer.headers and not path.startswith(files):
                    found.add(path)
    assert found == {path for path in READ if not path.startswith(files)}


@pytest.mark.parametrize("path", READ)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_client_that_has_it_gets_304_with_the_fields_of_a_cache(
    api: Api, method: str, path: str
) -> None:
    await create(api)
    first = await api.http.request(method, path)
    etag = first.headers["etag"]
    for known in (etag, f"W/{etag}", f'"x", {etag}', "*"):
        headers = {"If-None-Match": known, "Origin": PAGE}
        again = await api.http.request(method, path, headers=headers)
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == etag
        assert again.headers["cache-control"] == first.headers["cache-control"]
        assert again.headers["vary"] == "Origin"
        assert "content-type" not in again.headers
        assert again.headers.get("content-length", "0") == "0"
    for other in ('"x"', "x"):
        assert (await api.http.request(method, path, headers={"If-None-Match": other})).status_code == 200


@pytest.mark.parametrize("path", READ)
async def test_a_client_that_asks_for_another_one_gets_412(api: Api, path: str) -> None:
    await create(api)
    etag = (await api.http.get(path)).headers["etag"]
    answer = await api.http.get(path, headers={"If-Match": '"x"'})
    check_problem(answer, 412, "precondition-failed", "If-Match")
    for known in (etag, "*", f'"x", {etag}'):
        assert (await api.http.get(path, headers={"If-Match": known})).status_code == 200


async def test_a_report_and_a_cancellation_are_made_to_the_named_version_alone(api: Api) -> None:
    created = await create(api)
    lease, old = created.json()["lease"], created.headers["etag"]
    report = {"lease": lease, "progress": 0.5}
    changed = await api.http.patch("/tasks/t", json=report, headers={"If-Match": old})
    assert changed.status_code == 200
    new = changed.headers["etag"]
    assert new != old

    async def attempts(headers: dict[str, str]) -> list[httpx.Response]:
        return [
            await api.http.patch("/tasks/t", json={**report, "progress": 0.7}, headers=headers),
            await api.http.post("/tasks/t/cancel", headers=headers),
        ]

    for headers, field in (
        ({"If-Match": old}, "If-Match"),
        ({"If-Match": f"W/{new}"}, "If-Match"),
        ({"If-None-Match": new}, "If-None-Match"),
        ({"If-None-Match": "*"}, "If-None-Match"),
    ):
        for refused in await attempts(headers):
            check_problem(refused, 412, "precondition-failed", field)
    task = (await api.http.get("/tasks/t")).json()
    assert (task["status"], task["progress"]) == ("running", 0.5)
    for accepted in await attempts({"If-Match": "*", "If-None-Match": old}):
        assert accepted.status_code == 200
    assert (await api.http.get("/tasks/t")).json()["status"] == "cancelled"


async def test_other_errors_come_before_the_conditions(api: Api) -> None:
    await create(api)
    headers = {"If-Match": '"x"'}
    answer = await api.http.patch("/tasks/t", json={"lease": "another"}, headers=headers)
    check_problem(answer, 409, "lease-lost", "lease")
    await api.http.post("/tasks/t/cancel")
    check_problem(
        await api.http.post("/tasks/t/cancel", headers=headers), 409, "invalid-transition", "status"
    )
    check_problem(await api.http.get("/tasks/nobody", headers=headers), 404, "not-found", "id")
