"""A server with an HTTP client, and the check of an answer that is a problem."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import httpx
from quart_trio import QuartTrio

from streamd.settings import Settings
from streamd.testing import RunningServer, run_server

SECONDS = 30  # timeout of a request


@attrs.frozen
class Api:
    """A server and a client."""

    server: RunningServer
    http: httpx.AsyncClient


@asynccontextmanager
async def serving_api(settings: Settings | None = None, app: QuartTrio | None = None) -> AsyncIterator[Api]:
    """Run a server while the block lasts."""
    async with run_server(settings, app=app) as server:
        async with httpx.AsyncClient(base_url=server.url, timeout=SECONDS) as http:
            yield Api(server, http)


def check_problem(answer: httpx.Response, status: int, code: str, field: str | None = None) -> None:
    """Check that an answer is a problem document (RFC 9457) with these members."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    problem = answer.json()
    assert (answer.status_code, problem["status"], problem["code"]) == (status, status, code), problem
    assert problem.get("field") == field, problem
    assert problem["type"] == "about:blank"
    assert problem["title"]
    assert problem["detail"]
