"""The document of the API."""

from typing import Any

import pytest

from streamd import create_app


@pytest.fixture
async def document() -> dict[str, Any]:
    answer = await create_app().test_client().get("/openapi.json")
    assert answer.status_code == 200
    assert answer.mimetype == "application/json"
    document: dict[str, Any] = await answer.get_json()
    return document
