"""The root of the configuration, and the smaller settings of an application of one's own."""

import httpx
from quart_trio import QuartTrio

from streamd import Settings, Streamd
from streamd.connections import ConnectionSettings
from streamd.runtime import RuntimeSettings
from streamd.tasks import TaskSettings
from streamd.testing import run_server


def test_settings_around_those_of_a_runtime_keep_its_sections() -> None:
    runtime = RuntimeSettings(tasks=TaskSettings(max_running=7))
    assert Settings.around(runtime) == Settings(tasks=TaskSettings(max_running=7))


def test_settings_with_every_section_are_returned_unchanged() -> None:
    settings = Settings()
    assert Settings.around(settings) is settings


async def test_an_application_runs_with_the_settings_of_a_runtime() -> None:
    app = QuartTrio(__name__)
    settings = RuntimeSettings(connections=ConnectionSettings(max_connections=7))
    streamd = Streamd(app, settings=settings)

    @app.get("/limit")
    async def limit() -> dict[str, int]:
        return {"max_connections": streamd.settings.connections.max_connections}

    async with run_server(app=app) as server, httpx.AsyncClient(base_url=server.url) as client:
        assert (await client.get("/limit")).json() == {"max_connections": 7}
