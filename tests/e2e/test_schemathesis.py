"""Schemathesis generates requests from ``/openapi.json``: no answer differs from the document."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from tests.support.server_process import server_process
from tests.support.tokens import SECRET, make_token

SECONDS = 50  # of generating, for each store, with and without keys
EVERYTHING = {"sub": "schemathesis", "publish": ["*", "tasks/**"], "admin": True, "merchant": "m"}
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "missing_required_header",
    "use_after_free",
    "ensure_resource_availability",
    "unsupported_method",
)
"""Left out is the check that valid data is accepted: a schema does not say which ids and areas exist."""


def streams_of(document: dict[str, Any]) -> list[str]:
    """Return the ids of the operations that answer with an endless stream."""
    return [
        operation["operationId"]
        for item in document["paths"].values()
        for operation in item.values()
        if "text/event-stream" in operation["responses"].get("200", {}).get("content", {})
    ]


def without_urls(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document without the URL of a line's image: the server would request generated addresses.

    It is the only address that requests contain. Other addresses of outbound requests are settings.
    """
    schemas = document["components"]["schemas"]
    del schemas["NewLine"]["properties"]["imageUrl"]
    return document


@pytest.mark.soak
@pytest.mark.timeout(3 * SECONDS)
@pytest.mark.parametrize("store", ["memory:", "sqlite"])
@pytest.mark.parametrize("has_keys", [False, True], ids=["open", "keys"])
async def test_no_answer_differs_from_the_document(has_keys: bool, store: str, tmp_path: Path) -> None:
    url = store if store == "memory:" else f"sqlite:{tmp_path / 'streamd.db'}"
    settings: dict[str, object] = {
        "connections__control": "true",
        "logging__level": "error",  # nothing reads the log
        "poll__max_wait_seconds": 0.1,
        "tuning__poll__wait_seconds": 0.01,
    }
    headers: list[str] = []
    if has_keys:
        settings["auth__keys"] = SECRET
        headers = ["--header", f"Authorization: Bearer {make_token(EVERYTHING, exp=time.time() + 3600)}"]
    async with server_process("--store", url, seconds=2.5 * SECONDS, **settings) as server:
        async with httpx.AsyncClient(base_url=server.url) as http:
            document = (await http.get("/openapi.json")).json()
        excluded = [option for name in streams_of(document) for option in ("--exclude-operation-id", name)]
        file = tmp_path / "openapi.json"
        file.write_text(json.dumps(without_urls(document)))
        command = [sys.executable, "-m", "schemathesis.cli", "run", str(file), "--url", server.url]
        command += ["--checks", ",".join(CHECKS), "--max-time", str(SECONDS), "--max-examples", "50"]
        command += ["--generation-database", "none", "--no-color", *excluded, *headers]
        done = await trio.run_process(
            command,
            cwd=tmp_path,  # the tool may write a report
            capture_stdout=True,
            stderr=subprocess.STDOUT,
            check=False,
        )
    report = done.stdout.decode(errors="replace")
    assert "Tested: " in report, report
    assert done.returncode == 0, report
