"""The strategy service under test: a running server and a client."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import attrs
import httpx
import msgspec
import trio

from streamd.json import decode_json
from streamd.services.strategy.models import ProfileBody
from streamd.services.strategy.profile import StrategyProfile
from streamd.services.strategy.requests import check_profile
from streamd.services.strategy.settings import StrategySettings
from streamd.settings import Settings
from streamd.testing import StreamReader, open_stream, run_server
from streamd.text.settings import TextSettings
from tests.support.fake_server import Answer, FakeServer, fake_server
from tests.support.messages import StreamMessage, read_to_end
from tests.support.model_server import text_settings

SECONDS = 30  # timeout of a test
PROFILE: dict[str, Any] = {
    "business": "Handmade ceramic tableware, sold online and in a studio",
    "audience": "Young families in German cities",
    "goals": [
        "Win 400 orders within 6 months",
        "Raise brand awareness",
        "Keep 30 % of customers coming back",
    ],
    "channels": ["Instagram", "Google Ads", "Newsletter", "Craft fairs"],
    "budget": {"amount": 12500.5, "currency": "EUR"},
}


@attrs.frozen
class StrategyClient:
    """A client of the strategy service."""

    url: str
    http: httpx.AsyncClient

    async def create(self, **changes: Any) -> dict[str, Any]:
        answer = await self.http.post("/api/strategy", json={**PROFILE, **changes})
        assert answer.status_code == 202, answer.text
        accepted: dict[str, Any] = answer.json()
        return accepted

    def follow(
        self, strategy: dict[str, Any], last_event_id: str | None = None
    ) -> AbstractAsyncContextManager[StreamReader]:
        return open_stream(self.url, path=strategy["eventsUrl"], last_event_id=last_event_id)

    async def read_all(
        self, strategy: dict[str, Any], last_event_id: str | None = None
    ) -> list[StreamMessage]:
        """Read a stream to its end."""
        return await read_to_end(self.url, strategy["eventsUrl"], last_event_id=last_event_id)

    async def wait_for_end(self, strategy: dict[str, Any]) -> dict[str, Any]:
        await self.read_all(strategy)
        fields: dict[str, Any] = (await self.http.get(strategy["statusUrl"])).json()
        return fields


@asynccontextmanager
async def serving(text: TextSettings | None = None, **strategy: Any) -> AsyncIterator[StrategyClient]:
    settings = Settings(text=text or TextSettings(), strategy=StrategySettings(**strategy))
    with trio.fail_after(SECONDS):
        async with run_server(settings) as server:
            async with httpx.AsyncClient(base_url=server.url, timeout=SECONDS) as http:
                yield StrategyClient(server.url, http)


@asynccontextmanager
async def serving_model(
    *answers: Answer, **strategy: Any
) -> AsyncIterator[tuple[StrategyClient, FakeServer]]:
    """Run a server whose texts come from a model; each piece becomes an event."""
    async with fake_server(*answers) as model:
        async with serving(text_settings(model), **{"text_seconds": 0, **strategy}) as service:
            yield service, model


def read_profile(**changes: Any) -> StrategyProfile:
    body: ProfileBody = decode_json(msgspec.json.encode({**PROFILE, **changes}), ProfileBody)
    return check_profile(body)
