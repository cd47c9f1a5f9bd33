"""The client in tabs of Chromium that are hidden, shown, frozen and restored."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import httpx

from tests.support.client_page import PLAIN_PATH, follow_script, greeted
from tests.support.devtools import Tab, devtools
from tests.support.server_process import server_process

NOTE_LIFECYCLE = """
window.lifecycle = [];
for (const name of ["freeze", "resume"]) document.addEventListener(name, () => lifecycle.push(name));
addEventListener("pageshow", (event) => event.persisted && lifecycle.push("restored"));
"""


@attrs.frozen
class HiddenPage:
    """A page that follows a stream, another tab which hides it when shown, and a client of the server."""

    tab: Tab
    other: Tab
    http: httpx.AsyncClient

    async def publish(self, data: str) -> None:
        answer = await self.http.post("/events", json={"topic": "a", "data": data})
        answer.raise_for_status()

    async def wait_data(self, *data: str) -> None:
        """Wait for the events, and check that the page has got these, once and in order."""
        await self.tab.wait(f"recorded.data.includes('{data[-1]}')")
        assert await self.tab.evaluate("recorded.data") == list(data)

    async def until_active(self, count: int) -> None:
        """Wait until the server has this number of connections."""
        while (await self.http.get("/connections")).json()["active"] != count:
            pass

    async def connections(self) -> int:
        """Return the number of connections that the server has greeted."""
        greetings: int = await self.tab.evaluate(
            "recorded.controls.filter((name) => name === 'connected').length"
        )
        return greetings


@asynccontextmanager
async def hidden_page(folder: Path, options: str) -> AsyncIterator[HiddenPage]:
    """Open a stream in a visible tab, and then another tab in front of it."""
    async with (
        server_process(tuning__connections__retry_ms=20) as server,
        httpx.AsyncClient(base_url=server.url) as http,
        devtools(folder) as browser,
    ):
        other = await browser.open_tab("about:blank")
        tab = await browser.open_tab(f"{server.url}{PLAIN_PATH}")
        await tab.evaluate(NOTE_LIFECYCLE)
        await tab.evaluate(follow_script("/events", f"{{ topics: ['a'], {options} }}"))
        await tab.wait(greeted(1))
        await other.show()
        await tab.wait("document.visibilityState === 'hidden'")
        yield HiddenPage(tab, other, http)


async def test_a_hidden_page_keeps_its_stream(tmp_path: Path) -> None:
    async with hidden_page(tmp_path, "") as page:
        await page.publish("while hidden")
        await page.wait_data("while hidden")
        await page.tab.show()
        await page.publish("shown")
        await page.wait_data("while hidden", "shown")
        assert await page.connections() == 1


async def test_a_page_that_was_frozen_receives_what_it_missed(tmp_path: Path) -> None:
    async with hidden_page(tmp_path, "") as page:
        await page.publish("while hidden")
        await page.wait_data("while hidden")
        await page.tab.freeze()
        await page.tab.wait("lifecycle.at(-1) === 'freeze'")
        frozen = [f"while frozen {number}" for number in range(3)]
        for text in frozen:
            await page.publish(text)
        await page.tab.resume()
        await page.tab.wait("lifecycle.at(-1) === 'resume'")
        await page.wait_data("while hidden", *frozen)
        await page.publish("running again")
        await page.wait_data("while hidden", *frozen, "running again")
        assert await page.connections() == 2  # Chromium lets the first bring nothing again


async def test_a_page_from_the_back_forward_cache_receives_what_it_missed(tmp_path: Path) -> None:
    async with hidden_page(tmp_path, "") as page:
        await page.tab.show()
        here = await page.tab.evaluate("location.href")
        await page.tab.go_to(here.replace("127.0.0.1", "localhost"))
        await page.publish("while away")
        await page.tab.evaluate("void setTimeout(() => history.back())")  # answers before it leaves
        await page.tab.wait("globalThis.lifecycle?.at(-1) === 'restored'")
        await page.publish("back")
        await page.wait_data("while away", "back")


async def test_a_stream_that_closes_when_hidden_resumes_when_shown(tmp_path: Path) -> None:
    async with hidden_page(tmp_path, "openWhenHidden: false") as page:
        await page.until_active(0)
        assert await page.tab.evaluate("stream.state.phase") == "waiting"
        for number in range(3):
            await page.publish(f"while hidden {number}")
        assert await page.tab.evaluate("recorded.data") == []
        await page.tab.show()
        await page.wait_data(*(f"while hidden {number}" for number in range(3)))
        assert await page.connections() == 2
        await page.other.show()
        await page.until_active(0)
        await page.tab.show()
        await page.publish("shown")
        await page.wait_data(*(f"while hidden {number}" for number in range(3)), "shown")
        assert await page.tab.evaluate("stream.state.failure") is None
