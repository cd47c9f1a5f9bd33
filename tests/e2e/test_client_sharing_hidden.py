"""Tabs of Chromium that share a connection, while the one that has it is hidden, frozen or left."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import httpx

from tests.support.client_page import PLAIN_PATH, follow_script, greeted
from tests.support.devtools import Tab, devtools
from tests.support.server_process import server_process

OPTIONS = "{ topics: ['a'], backoff: { baseMs: 20, maxMs: 100 } }"


@attrs.frozen
class SharingPages:
    """A hidden tab that has the connection, a visible tab that follows it, and a client of the server."""

    leader: Tab
    follower: Tab
    http: httpx.AsyncClient

    async def publish(self, data: str) -> None:
        answer = await self.http.post("/events", json={"topic": "a", "data": data})
        answer.raise_for_status()

    async def connection_ids(self) -> list[str]:
        return [
            str(connection["id"])
            for connection in (await self.http.get("/connections")).json()["connections"]
        ]

    async def until_one_connection(self) -> None:
        while len(await self.connection_ids()) != 1:
            pass


async def expect_data(tab: Tab, *data: str) -> None:
    """Wait for the events, and check that the tab has got these, once and in order."""
    await tab.wait(f"recorded.data.includes('{data[-1]}')")
    assert await tab.evaluate("recorded.data") == list(data)


@asynccontextmanager
async def sharing_pages(folder: Path) -> AsyncIterator[SharingPages]:
    async with (
        server_process(tuning__connections__retry_ms=20) as server,
        httpx.AsyncClient(base_url=server.url) as http,
        devtools(folder) as browser,
    ):
        tabs: list[Tab] = []
        for _ in range(2):
            tab = await browser.open_tab(f"{server.url}{PLAIN_PATH}")
            await tab.evaluate(follow_script("/events", OPTIONS, shared=True))
            await tab.wait(greeted(1))
            tabs.append(tab)
        leader, follower = tabs
        await follower.show()
        await leader.wait("document.visibilityState === 'hidden'")
        yield SharingPages(leader, follower, http)


async def test_a_hidden_tab_keeps_the_connection_of_all(tmp_path: Path) -> None:
    async with sharing_pages(tmp_path) as pages:
        before = await pages.connection_ids()
        await pages.publish("while hidden")
        await expect_data(pages.follower, "while hidden")
        assert await pages.connection_ids() == before


async def test_a_frozen_tab_gives_the_connection_up_and_receives_what_it_missed(tmp_path: Path) -> None:
    async with sharing_pages(tmp_path) as pages:
        await pages.publish("before")
        await expect_data(pages.follower, "before")
        await pages.leader.freeze()
        await pages.publish("while frozen")
        await expect_data(pages.follower, "before", "while frozen")
        await pages.leader.resume()
        await pages.publish("resumed")
        for tab in (pages.leader, pages.follower):
            await expect_data(tab, "before", "while frozen", "resumed")
        await pages.until_one_connection()


async def test_a_tab_from_the_back_forward_cache_receives_what_it_missed(tmp_path: Path) -> None:
    async with sharing_pages(tmp_path) as pages:
        await pages.leader.show()
        await pages.leader.evaluate(
            "addEventListener('pageshow', (event) => (window.isRestored = event.persisted))"
        )
        here = await pages.leader.evaluate("location.href")
        await pages.leader.go_to(here.replace("127.0.0.1", "localhost"))
        await pages.publish("while away")
        await expect_data(pages.follower, "while away")
        await pages.leader.evaluate("void setTimeout(() => history.back())")  # answers before it leaves
        await pages.leader.wait("globalThis.isRestored")
        await pages.publish("back")
        for tab in (pages.leader, pages.follower):
            await expect_data(tab, "while away", "back")
        await pages.until_one_connection()
