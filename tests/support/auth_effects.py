"""For each setting of access control that can be reloaded: a new value, and its effect on requests."""

import atexit
import json
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

import httpx

from tests.support.tokens import OTHER_SECRET, SECRET, jwk_of, key_of, make_token

Effect = Callable[[httpx.AsyncClient], Awaitable[bool]]


@cache
def key_file() -> str:
    """Return the name of a file with keys for ES256 and EdDSA."""
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder)
    file = Path(folder) / "keys.json"
    file.write_text(json.dumps({"keys": [jwk_of("ES256"), jwk_of("EdDSA")]}))
    return str(file)


def sign(key: Any = SECRET, **claims: Any) -> dict[str, str]:
    """Return the header with a token."""
    now = time.time()
    token = make_token({"sub": "ada", "iat": now, "exp": now + 3600, **claims}, key)
    return {"Authorization": f"Bearer {token}"}


def answers(
    status: int, method: str, path: str, headers: Callable[[], dict[str, str]] = dict, **body: Any
) -> Effect:
    """Return an effect: a request with these headers has the status."""

    async def look(http: httpx.AsyncClient) -> bool:
        sent = {"json": body} if body else {}
        answer = await http.request(method, path, headers=headers(), **sent)  # type: ignore[arg-type]
        return answer.status_code == status

    return look


async def the_user_is_the_mail(http: httpx.AsyncClient) -> bool:
    headers = sign(tasks="own", mail="ada@example.org")
    answer = await http.post("/tasks", json={"kind": "k"}, headers=headers)
    return bool(answer.json()["owner"] == "ada@example.org")


async def a_ticket_is_short(http: httpx.AsyncClient) -> bool:
    answer = await http.post("/auth/ticket", headers=sign())
    expires_at = datetime.fromisoformat(answer.json()["expires_at"])
    return (expires_at - datetime.now(UTC)).total_seconds() < 10


POLL: Final = "/events/poll?topic=a&wait=0"
ORDERS: Final = "/api/purchase-orders/x"  # 404 for a merchant, 403 for others
WITH_KEYS: Final = {"auth.keys": [SECRET]}
WITH_FILE: Final = {"auth.keys": [SECRET], "auth.key_file": key_file()}
ES256: Final = key_of("ES256")
READS: Final = {"subscribe": ["a"]}

AUTH_EFFECTS: Final[dict[str, tuple[dict[str, Any], Any, Effect]]] = {
    "auth.anonymous": (WITH_KEYS, True, answers(200, "GET", POLL)),
    "auth.keys": (WITH_KEYS, [OTHER_SECRET], answers(200, "GET", POLL, lambda: sign(OTHER_SECRET, **READS))),
    "auth.key_file": (WITH_KEYS, key_file(), answers(200, "GET", POLL, lambda: sign(ES256, **READS))),
    "auth.jwks_url": ({"auth.audience": "us"}, "http://127.0.0.1:9/keys", answers(401, "GET", POLL)),
    "auth.issuer": (WITH_KEYS, "us", answers(401, "GET", POLL, lambda: sign(iss="them", **READS))),
    "auth.audience": (WITH_KEYS, "us", answers(401, "GET", POLL, lambda: sign(aud="them", **READS))),
    "tuning.auth.algorithms": (
        WITH_FILE,
        ["HS256", "EdDSA"],
        answers(401, "GET", POLL, lambda: sign(ES256, **READS)),
    ),
    "tuning.auth.leeway_seconds": (
        WITH_KEYS,
        1.0,
        answers(401, "GET", POLL, lambda: sign(**{**READS, "exp": time.time() - 10})),
    ),
    "tuning.auth.user_claim": (WITH_KEYS, "mail", the_user_is_the_mail),
    "tuning.auth.merchant_claim": (
        WITH_KEYS,
        "dest",
        answers(404, "GET", ORDERS, lambda: sign(dest="https://shop.example")),
    ),
    "tuning.auth.publish_claim": (
        WITH_KEYS,
        "may.publish",
        answers(201, "POST", "/events", lambda: sign(may={"publish": ["a"]}), topic="a"),
    ),
    "tuning.auth.subscribe_claim": (
        WITH_KEYS,
        "may.read",
        answers(200, "GET", POLL, lambda: sign(may={"read": ["a"]})),
    ),
    "tuning.auth.tasks_claim": (WITH_KEYS, "jobs", answers(200, "GET", "/tasks", lambda: sign(jobs="own"))),
    "tuning.auth.admin_claim": (WITH_KEYS, "root", answers(200, "GET", "/metrics", lambda: sign(root=True))),
    "tuning.auth.cookie": (
        WITH_KEYS,
        "token",
        answers(200, "GET", POLL, lambda: {"Cookie": "token=" + sign(**READS)["Authorization"][7:]}),
    ),
    "tuning.auth.ticket_seconds": (WITH_KEYS, 5.0, a_ticket_is_short),
    "tuning.auth.revoked_tokens": (
        WITH_KEYS,
        ["one"],
        answers(401, "GET", POLL, lambda: sign(jti="one", **READS)),
    ),
    "tuning.auth.revoked_users": (WITH_KEYS, ["ada"], answers(401, "GET", POLL, lambda: sign(**READS))),
}
"""By setting: the settings before, the new value, and the effect, which is not there before."""
