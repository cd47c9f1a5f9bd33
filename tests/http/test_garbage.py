"""Answers leave hardly any cycles behind, whose collection would be a pause of the event loop."""

import gc

import pytest

from streamd import create_app

_REQUESTS = 20


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/nothing/here"), ("DELETE", "/events"), ("GET", "/tasks/t")]
)
async def test_an_error_leaves_few_objects_for_the_collector(method: str, path: str) -> None:
    client = create_app().test_client()
    ask = client.get if method == "GET" else client.delete
    await ask(path)
    gc.collect()
    gc.disable()
    try:
        for _ in range(_REQUESTS):
            answer = await ask(path)
        assert answer.status_code in (404, 405)
        assert gc.collect() / _REQUESTS < 30, "frames and requests are kept in cycles"
    finally:
        gc.enable()
