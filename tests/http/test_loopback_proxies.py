"""Operations on connections through trusted proxies: the client's own address counts, and every proxy's."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from streamd import create_app
from streamd.connections.settings import ConnectionSettings
from streamd.server.settings import ServerSettings
from streamd.settings import Settings
from tests.support.api import Api, serving_api
from tests.support.plain import NO_SERVICES

LOCAL, REMOTE_PROXY, CLIENT = "127.0.0.1", "10.0.0.1", "192.0.2.7"
SETTINGS = Settings(
    connections=ConnectionSettings(control=True),
    server=ServerSettings(trusted_proxies=[LOCAL, REMOTE_PROXY]),
    **NO_SERVICES,
)
BODY = {"data": 1}
PATH = "/connections/broadcast"


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with serving_api(SETTINGS) as api:
        yield api


@pytest.mark.parametrize(
    "headers",
    [
        {},  # a program that asks the server itself
        {"X-Forwarded-For": LOCAL},
        {"X-Forwarded-For": "127.0.0.5"},
        {"X-Forwarded-For": f"{CLIENT}, 127.0.0.5"},
        {"X-Forwarded-For": f"{LOCAL}, {LOCAL}"},
        {"Forwarded": f"for={LOCAL};proto=http"},
        {"X-Forwarded-For": LOCAL, "X-Forwarded-Proto": "http", "Via": "1.1 front", "X-Real-IP": LOCAL},
    ],
)
async def test_a_client_on_this_machine_is_admitted(api: Api, headers: dict[str, str]) -> None:
    answer = await api.http.post(PATH, json=BODY, headers=headers)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": CLIENT},
        {"X-Forwarded-For": f"{LOCAL}, {CLIENT}"},
        {"X-Forwarded-For": "::1, 2001:db8::1"},
        {"Forwarded": f"for={LOCAL}, for={CLIENT}"},
        {"X-Forwarded-For": f"{LOCAL}, {REMOTE_PROXY}"},  # a program beside another proxy
        # Headers that name nobody: the proxy did not set them.
        {"X-Forwarded-For": "unknown"},
        {"X-Forwarded-For": ""},
        {"X-Forwarded-For": f"{LOCAL}, x"},
        {"Forwarded": "for=_hidden"},
        {"X-Forwarded-Proto": "http"},
        {"X-Real-IP": LOCAL},
        {"Via": "1.1 front"},
        {"Forwarded": f"for={LOCAL}", "X-Forwarded-For": CLIENT},
    ],
)
async def test_any_other_client_of_a_proxy_on_this_machine_is_refused(
    api: Api, headers: dict[str, str]
) -> None:
    answer = await api.http.post(PATH, json=BODY, headers=headers)
    assert answer.status_code == 403, answer.text


@pytest.mark.parametrize("named", [LOCAL, "::1", CLIENT])
async def test_every_client_of_a_proxy_on_another_machine_is_refused(named: str) -> None:
    app: Any = create_app(SETTINGS)
    transport = httpx.ASGITransport(app, client=(REMOTE_PROXY, 40_000))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as http:
        answer = await http.post(PATH, json=BODY, headers={"X-Forwarded-For": named})
    assert answer.status_code == 403
