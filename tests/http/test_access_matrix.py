"""The matrix of access: every route and transport, with every kind of proof, has one exact status."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import attrs
import httpx
import pytest

from streamd.app import create_app
from streamd.settings import Settings
from tests.support.api import serving_api
from tests.support.tokens import OTHER_SECRET, auth_settings, forge, key_of, make_token

UPGRADE: Final = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
CSV: Final = b"sku,quantity,price\nA-1,2,3.50\n"


@attrs.frozen(eq=False)
class Route:
    """One route with a request to it.

    Args:
        method, rule: as the application has them.
        right: the grants of a token that may use it, and its status.
        status: of the right token.
        other: the status of a token with the grants of another user.
        path: of the request; the rule without one.
        body: JSON, or bytes of ``content_type``.
        public: needs no proof, and looks at none.
    """

    method: str
    rule: str
    right: dict[str, Any] = attrs.field(factory=dict)
    status: int = 200
    other: int = 403
    path: str = ""
    body: Any = None
    content_type: str = "application/json"
    headers: dict[str, str] = attrs.field(factory=dict)
    public: bool = False


OWN: Final = {"tasks": "own"}
ALL: Final = {"tasks": "all"}
ADMIN: Final = {"admin": True}
READS: Final = {"subscribe": ["a"]}
SHOP: Final = {"merchant": "7"}
MISSING: Final = 404  # a task of others is not there


def public(method: str, rule: str, status: int = 200, **more: Any) -> Route:
    return Route(method, rule, status=status, other=status, public=True, **more)


def stream(
    rule: str, right: dict[str, Any], status: int = 200, other: int = 403, query: str = ""
) -> list[Route]:
    """Make the routes of a stream, one for each transport."""
    socket = 101 if status == 200 else status
    return [
        Route("GET", rule, right, status, other, path=f"{rule}{query}" if query else ""),
        Route(
            "WEBSOCKET", rule, right, socket, other, path=f"{rule}{query}" if query else "", headers=UPGRADE
        ),
        Route("GET", f"{rule}/poll", right, status, other, path=f"{rule}/poll{query or '?'}&wait=0"),
    ]


ROUTES: Final = (
    public("GET", "/"),
    public("GET", "/openapi.json"),
    public("GET", "/health/live"),
    public("GET", "/health/ready"),
    public("GET", "/api/brand-monitor/health"),
    public("DELETE", "/auth/cookie", 204),
    Route("GET", "/metrics", ADMIN),
    Route("GET", "/connections", ADMIN),
    Route("GET", "/connections/<id>", ADMIN, 404),
    Route("DELETE", "/connections/<id>", ADMIN, 404),
    Route("POST", "/connections/<id>/send", ADMIN, 404, body={"data": 1}),
    Route("POST", "/connections/broadcast", ADMIN, body={"data": 1}),
    Route("GET", "/auth/revocations", ADMIN),
    Route("POST", "/auth/revocations", ADMIN, 201, body={"token_id": "another"}),
    Route("POST", "/auth/ticket", {}, 201, other=201),
    Route("POST", "/auth/cookie", {}, 204, other=204),
    *stream("/events", READS, query="?topic=a"),
    Route("POST", "/events", {"publish": ["a"]}, 201, body={"topic": "a"}),
    Route("POST", "/tasks", OWN, 201, body={"kind": "k"}),
    Route("GET", "/tasks", OWN),
    Route("POST", "/tasks/claim", ALL, 204, body={"kinds": ["another"], "worker": "w"}),
    Route("GET", "/tasks/<task_id>", OWN, MISSING, MISSING),
    Route("PATCH", "/tasks/<task_id>", OWN, MISSING, MISSING, body={"lease": "x"}),
    Route("POST", "/tasks/<task_id>/cancel", OWN, MISSING, MISSING),
    *stream("/tasks/<task_id>/events", OWN, MISSING, MISSING),
    Route("GET", "/tasks/<task_id>/result", OWN, MISSING, MISSING),
    Route("POST", "/api/brand-monitor/analyses", OWN, 400, body={}),
    Route("GET", "/api/brand-monitor/analyses/<taskId>", OWN, MISSING, MISSING),
    Route("POST", "/api/brand-monitor/analyses/<taskId>/cancel", OWN, MISSING, MISSING),
    *stream("/api/brand-monitor/progress/<taskId>", OWN, MISSING, MISSING),
    Route("POST", "/api/purchase-orders", SHOP, 202, body=CSV, content_type="text/csv"),
    Route("GET", "/api/purchase-orders/<po_id>", SHOP, 404, path="/api/purchase-orders/x?merchantId=7"),
    *stream("/api/realtime/events", SHOP, query="?merchantId=7"),
    Route("POST", "/api/strategy", OWN, 400, body={}),
    Route("POST", "/api/strategy/<strategyId>/cancel", OWN, MISSING, MISSING),
    *stream("/api/strategy/<strategyId>/events", OWN, MISSING, MISSING),
    Route("GET", "/api/strategy/<strategyId>/result", OWN, MISSING, MISSING),
    Route("GET", "/api/strategy/<strategyId>/status", OWN, MISSING, MISSING),
    Route("POST", "/api/v2/items", {"publish": ["sentiment/**"]}, 400, body={}),
    Route("GET", "/api/v2/metrics", {"subscribe": ["sentiment/*"]}),
    *stream("/api/v2/stream", {"subscribe": ["sentiment/*"]}),
    Route("GET", "/api/v2/stream/status", {"subscribe": ["sentiment/*"]}),
    Route("GET", "/research/areas", OWN),
    Route("POST", "/research/stream", OWN, 400, body={}),
    Route("POST", "/research/stream/<researchSessionId>/cancel", OWN, MISSING, MISSING),
    *stream("/research/stream/<researchSessionId>/events", OWN, MISSING, MISSING),
    Route("GET", "/research/stream/<researchSessionId>/result", OWN, MISSING, MISSING),
    Route("GET", "/research/stream/<researchSessionId>/status", OWN, MISSING, MISSING),
)
STATIC: Final = ("/static/", "/client/")  # files, as public as the page; see test_files_are_public


def test_every_route_is_in_the_matrix() -> None:
    rules = set()
    for rule in create_app().url_map.iter_rules():
        methods = {"WEBSOCKET"} if rule.websocket else (rule.methods or set()) - {"HEAD", "OPTIONS"}
        rules |= {(method, rule.rule) for method in methods if not rule.rule.startswith(STATIC)}
    assert {(route.method, route.rule) for route in ROUTES} == rules


@pytest.mark.parametrize("path", ["/static/app.css", "/client/streamd.js"])
async def test_files_are_public(path: str) -> None:
    async with serving_matrix() as matrix:
        for token in (None, right(**ADMIN), bad_signature(ADMIN)):
            assert await matrix.status(public("GET", path), token) == 200


# --- proofs -----------------------------------------------------------------------------------------

REVOKED: Final = "revoked-token"


def right(**claims: Any) -> str:
    return make_token(valid(claims))


def valid(claims: dict[str, Any]) -> dict[str, Any]:
    now = time.time()
    return {"sub": "ada", "iat": now, "exp": now + 3600, "aud": "here", **claims}


def bad_signature(grants: dict[str, Any]) -> str:
    return make_token(valid(grants), key=OTHER_SECRET)


def without_algorithm(grants: dict[str, Any]) -> str:
    return forge({"alg": "none", "typ": "JWT"}, valid(grants))


def wrong_key_type(grants: dict[str, Any]) -> str:
    return make_token(valid(grants), key=key_of("ES256"))


def cut_off(grants: dict[str, Any]) -> str:
    return right(**grants)[:-4]


def expired(grants: dict[str, Any]) -> str:
    return right(exp=time.time() - 60, **grants)


def not_yet_valid(grants: dict[str, Any]) -> str:
    return right(nbf=time.time() + 300, **grants)


def wrong_audience(grants: dict[str, Any]) -> str:
    return right(aud="there", **grants)


def revoked(grants: dict[str, Any]) -> str:
    return right(jti=REVOKED, **grants)


WRONG: Final = (
    bad_signature,
    without_algorithm,
    wrong_key_type,
    cut_off,
    expired,
    not_yet_valid,
    wrong_audience,
    revoked,
)


@attrs.frozen
class Matrix:
    http: httpx.AsyncClient
    url: str

    async def status(self, route: Route, token: str | None = None, *, ticket: str | None = None) -> int:
        """Return the status of a request, without reading a stream."""
        headers = dict(route.headers)
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        content = None
        if route.body is not None:
            headers["Content-Type"] = route.content_type
            content = (
                route.body
                if isinstance(route.body, bytes)
                else httpx.Request("POST", self.url, json=route.body).content
            )
        path = route.path or route.rule.replace("<", "").replace(">", "")
        if ticket is not None:
            path += ("&" if "?" in path else "?") + f"ticket={ticket}"
        method = "GET" if route.method == "WEBSOCKET" else route.method
        async with self.http.stream(method, path, headers=headers, content=content) as answer:
            if answer.status_code == 401:
                assert answer.headers["www-authenticate"].startswith("Bearer")
            return answer.status_code

    async def ticket(self, **claims: Any) -> str:
        answer = await self.http.post("/auth/ticket", headers={"Authorization": f"Bearer {right(**claims)}"})
        assert answer.status_code == 201, answer.text
        ticket: str = answer.json()["ticket"]
        return ticket


TICKET_METHODS = ("GET", "HEAD", "WEBSOCKET")


@pytest.fixture
async def matrix() -> AsyncIterator[Matrix]:
    async with serving_matrix() as matrix:
        yield matrix


@asynccontextmanager
async def serving_matrix() -> AsyncIterator[Matrix]:
    settings = Settings(auth=auth_settings(audience="here", leeway_seconds=0.0, revoked_tokens=[REVOKED]))
    async with serving_api(settings) as api:
        yield Matrix(api.http, api.server.url)


def expect(found: dict[Route, int], expected: dict[Route, int]) -> None:
    wrong = [route for route in ROUTES if found[route] != expected[route]]
    assert [(route.method, route.rule, found[route], expected[route]) for route in wrong] == []


async def test_without_a_proof(matrix: Matrix) -> None:
    found = {route: await matrix.status(route) for route in ROUTES}
    expect(found, {route: route.status if route.public else 401 for route in ROUTES})


@pytest.mark.parametrize("make", WRONG)
async def test_a_wrong_token(matrix: Matrix, make: Any) -> None:
    found = {route: await matrix.status(route, make(route.right)) for route in ROUTES}
    expect(found, {route: route.status if route.public else 401 for route in ROUTES})


async def test_a_spent_ticket(matrix: Matrix) -> None:
    ticket = await matrix.ticket(**READS)
    [events] = [route for route in ROUTES if (route.method, route.rule) == ("GET", "/events")]
    assert await matrix.status(events, ticket=ticket) == 200
    found = {route: await matrix.status(route, ticket=ticket) for route in ROUTES}
    refused = {route: 401 if route.method in TICKET_METHODS else 403 for route in ROUTES}
    expect(found, {route: route.status if route.public else refused[route] for route in ROUTES})


async def test_the_grants_of_another_user(matrix: Matrix) -> None:
    token = right(sub="eve", publish=["x"], tasks="none")
    found = {route: await matrix.status(route, token) for route in ROUTES}
    expect(found, {route: route.other for route in ROUTES})


async def test_the_right_token(matrix: Matrix) -> None:
    found = {route: await matrix.status(route, right(**route.right)) for route in ROUTES}
    expect(found, {route: route.status for route in ROUTES})


async def test_the_right_ticket(matrix: Matrix) -> None:
    routes = [route for route in ROUTES if not route.public]
    found = {route: await matrix.status(route, ticket=await matrix.ticket(**route.right)) for route in routes}
    for route in routes:
        wanted = route.status if route.method in TICKET_METHODS else 403  # it changes nothing
        assert found[route] == wanted, f"{route.method} {route.rule}"
