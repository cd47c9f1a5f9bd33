"""Access to tasks, orders, connections and metrics over sockets."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from streamd.testing import open_stream
from tests.support.access_rig import AccessRig, bearer, serving
from tests.support.api import check_problem, serving_api


@pytest.fixture
async def rig() -> AsyncIterator[AccessRig]:
    async with serving() as rig:
        yield rig


async def test_tasks_are_there_for_their_owners(rig: AccessRig) -> None:
    async def ask(token: str, method: str, path: str, **body: Any) -> httpx.Response:
        sent = {"json": body} if body or method in ("POST", "PATCH") else {}
        return await rig.http.request(method, path, headers=bearer(token), **sent)  # type: ignore[arg-type]

    created = await ask("one", "POST", "/tasks", kind="k", id="t", worker="w")
    assert (created.status_code, created.json()["owner"]) == (201, "one")
    for path in ("/tasks/t", "/tasks/t/result", "/tasks/t/events"):
        check_problem(await ask("two", "GET", path), 404, "not-found", "id")
    check_problem(await ask("two", "POST", "/tasks/t/cancel"), 404, "not-found", "id")
    lease = created.json()["lease"]
    check_problem(await ask("two", "PATCH", "/tasks/t", lease=lease, progress=5), 404, "not-found", "id")
    assert (await ask("one", "PATCH", "/tasks/t", lease=lease, progress=5)).status_code == 200
    assert (await ask("worker", "GET", "/tasks/t")).json()["progress"] == 5
    for token, ids in (("one", ["t"]), ("two", []), ("worker", ["t"]), ("admin", ["t"])):
        listed = (await ask(token, "GET", "/tasks")).json()["tasks"]
        assert [task["id"] for task in listed] == ids, token
    check_problem(await ask("two", "GET", "/tasks?owner=one"), 403, "forbidden", "owner")
    check_problem(await ask("one", "POST", "/tasks", kind="k", owner="two"), 403, "forbidden", "owner")
    check_problem(
        await ask("one", "POST", "/tasks/claim", kinds=["k"], worker="w"), 403, "forbidden", "Authorization"
    )
    check_problem(await ask("reader", "POST", "/tasks", kind="k"), 403, "forbidden", "Authorization")
    assert (await ask("one", "POST", "/tasks/t/cancel")).json()["cancelled"]


async def test_a_task_of_others_looks_like_none(rig: AccessRig) -> None:
    await rig.server.streamd.tasks.create("k", id="t", owner="one", worker="w")
    for path in ("/tasks/{}", "/tasks/{}/result", "/tasks/{}/events", "/events/poll?topic=tasks/{}"):
        of_one, missing = [
            (await rig.http.get(path.format(task_id), headers=bearer("two"))).content
            for task_id in ("t", "u")
        ]
        assert of_one == missing


async def test_an_order_is_there_for_its_merchant(rig: AccessRig) -> None:
    order = b"sku,quantity,price\nA-1,2,3.50\n"

    async def post(token: str, query: str = "") -> httpx.Response:
        headers = {"Content-Type": "text/csv", **bearer(token)}
        return await rig.http.post(f"/api/purchase-orders{query}", content=order, headers=headers)

    accepted = await post("shop")
    assert accepted.status_code == 202, accepted.text
    url = accepted.json()["statusUrl"]
    assert (await rig.http.get(url, headers=bearer("shop"))).status_code == 200
    for token in ("one", "worker", "reader"):
        assert (await rig.http.get(f"{url}?merchantId=7", headers=bearer(token))).status_code == 403
        assert (await post(token, "?merchantId=7")).status_code == 403
    assert (await post("shop", "?merchantId=8")).status_code == 403
    assert (await rig.http.get(f"{url}?merchantId=7", headers=bearer("admin"))).status_code == 200
    assert (await rig.http.get(url)).status_code == 401
    events = "/api/realtime/events?last_event_id=earliest&merchantId={}"
    assert (await rig.http.get(events.format(8), headers=bearer("shop"))).status_code == 403
    task_id = accepted.json()["workflowId"]
    assert (await rig.http.get(f"/tasks/{task_id}", headers=bearer("one"))).status_code == 404
    assert (await rig.http.get(f"/tasks/{task_id}", headers=bearer("shop"))).status_code == 200


async def test_administration_is_for_administrators(rig: AccessRig) -> None:
    for path in ("/connections", "/connections/x", "/metrics"):
        for token, status in ((None, 401), ("worker", 403)):
            answer = await rig.http.get(path, headers=bearer(token) if token else {})
            assert answer.status_code == status, path
    assert (await rig.http.get("/metrics", headers=bearer("admin"))).status_code == 200
    async with open_stream(rig.server.url, topics=["a"], headers=bearer("reader")):
        listed = (await rig.http.get("/connections", headers=bearer("admin"))).json()
        [found] = listed["connections"]
        assert found["user"] == "r"
        path = f"/connections/{found['id']}"
        params = {"user": "r"}
        refused = await rig.http.delete(path, params=params, headers=bearer("worker"))
        assert refused.status_code == 403
        closed = await rig.http.delete(path, params=params, headers=bearer("admin"))
        assert closed.status_code == 204
    for path in ("/health/live", "/health/ready"):
        assert (await rig.http.get(path)).status_code == 200


async def test_reserved_topics_are_reserved_on_an_open_server() -> None:
    async with serving_api() as api:
        for topic in ("tasks/1", "merchant:7:stage", "sentiment/items"):
            answer = await api.http.post("/events", json={"topic": topic})
            check_problem(answer, 403, "reserved-topic", "topic")
        assert (await api.http.post("/events", json={"topic": "taskss/1"})).status_code == 201
        async with open_stream(api.server.url, patterns=["merchant:*:*"]) as stream:
            await api.server.streamd.publish("merchant:7:stage", "by its owner")
            assert (await stream.take(1))[0].data == "by its owner"
