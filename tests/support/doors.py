"""Two servers with the same settings: one serves hot routes past the web framework, one through it."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import attrs
import httpx
from quart_trio import QuartTrio

from streamd.app import create_app
from streamd.auth import Access, AuthSettings
from streamd.http.hot.door import HotRoutes
from streamd.settings import Settings
from streamd.testing import run_server
from tests.support.access_rig import CALLERS, READER
from tests.support.addressed import give_addresses
from tests.support.callers import FakeProofs

_VARIABLE: Final = re.compile(
    rb"[0-9]{13}-[0-9]{6}"  # event ids
    rb"|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z"  # times
    rb'|(?<="lease":")[^"]+'
    rb"|(?<=retry: )[0-9]+"
    rb'|(?<="resume_secret":")[^"]+'
    rb'|(?<="eta_seconds":)[0-9.]+'
)


_TIMES: Final = ("retry-after", "ratelimit")
_LONG_TIME: Final = re.compile(r"(?<![0-9])[0-9]{3,}(?![0-9])")


@attrs.frozen
class Request:
    """A request that is sent to both servers."""

    method: str
    path: str
    headers: dict[str, str] = attrs.field(factory=dict)
    body: bytes = b""
    status: int = 200


@attrs.frozen
class Doors:
    """Clients of the two servers."""

    clients: tuple[httpx.AsyncClient, httpx.AsyncClient]

    async def differences(self, requests: list[Request]) -> list[Any]:
        """Send requests to both servers, one after the other, and return the answers that differ.

        An answer with another status than the request names is one of them.
        """
        found = []
        for request in requests:
            headers = {"X-Request-Id": "same", **request.headers}
            answers = [
                await client.request(request.method, request.path, headers=headers, content=request.body)
                for client in self.clients
            ]
            first, second = map(comparable, answers)
            if first != second or answers[0].status_code != request.status:
                found.append((request, first, second))
        return found


def comparable(answer: httpx.Response) -> Any:
    """Return the parts of an answer that two servers have in common; of metrics, their names."""
    content, left_out = _VARIABLE.sub(b"...", answer.content), {"date"}
    if answer.request.url.path == "/metrics" and answer.is_success:
        left_out.add("content-length")
        content = b"\n".join(line for line in content.splitlines() if line.startswith(b"# "))
    if b"..." in content:  # its length varies, too
        assert int(answer.headers.get("content-length", len(answer.content))) == len(answer.content)
        left_out.add("content-length")
    headers = sorted(
        (name, _LONG_TIME.sub(_rounded, value) if name in _TIMES else value)
        for name, value in answer.headers.multi_items()
        if name not in left_out
    )
    return answer.status_code, headers, content


def _rounded(seconds: re.Match[str]) -> str:
    """Round a time of minutes (s), of which the first server has spent more than the second."""
    return str(round(int(seconds[0]), -2))


@asynccontextmanager
async def both_doors(settings: Settings, *, with_keys: bool = False) -> AsyncIterator[Doors]:
    """Run both servers. With keys, callers are those of :mod:`tests.support.access_rig`."""
    hot, framed = create_app(settings), create_app(settings)

    @framed.before_request
    async def do_nothing() -> None:
        """Be a hook, which the hot routes may not bypass."""

    async with (
        run_server(settings, app=give_addresses(hot)) as first,
        run_server(settings, app=give_addresses(framed)) as second,
        httpx.AsyncClient(base_url=first.url, timeout=30) as one,
        httpx.AsyncClient(base_url=second.url, timeout=30) as two,
    ):
        for server in (first, second):
            await server.streamd.tasks.create("k", id="t", owner="one")
            if with_keys:
                proofs = FakeProofs(CALLERS, {"ticket": READER})
                keys = AuthSettings(jwks_url="https://keys.test")
                server.streamd.runtime.access = Access(keys, proofs, proofs, proofs)
        await one.get("/health/live")
        await two.get("/health/live")
        assert (_serves_hot_routes(hot), _serves_hot_routes(framed)) == (True, False)
        yield Doors((one, two))


def _serves_hot_routes(app: QuartTrio) -> bool:
    routes = app.extensions["streamd"].guard.inner
    assert isinstance(routes, HotRoutes)
    return routes.are_served
