"""Tabs of Chromium that can really be hidden and frozen, by the DevTools protocol.

Playwright emulates the focus of every page, so that its pages are always visible.
"""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from subprocess import PIPE
from typing import Any, Final

import trio
from trio_websocket import WebSocketConnection, open_websocket_url

from tests.support.browser import CHROMIUM, TIMEOUT_MS

_FLAGS: Final = ("--headless=new", "--no-sandbox", "--no-first-run", "--remote-debugging-port=0")
_ENDPOINT: Final = re.compile(rb"DevTools listening on (ws://\S+)\n")
_LOOK_SECONDS: Final = 0.02  # between two looks at a condition
_END_SECONDS: Final = 10


class DevToolsError(Exception):
    """The browser has answered with an error, such as for a page that was left meanwhile."""


class DevTools:
    """A browser, made by :func:`devtools`."""

    def __init__(self, socket: WebSocketConnection) -> None:
        self._socket = socket
        self._numbers = count(1)

    async def call(self, method: str, session: str = "", **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol, and return its result. For one trio task at a time."""
        number = next(self._numbers)
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        await self._socket.send_message(json.dumps(message | ({"sessionId": session} if session else {})))
        while True:
            answer = json.loads(await self._socket.get_message())
            if answer.get("id") == number:  # others are notices
                if "error" in answer:
                    raise DevToolsError(method, answer["error"])
                result: dict[str, Any] = answer["result"]
                return result

    async def open_tab(self, url: str) -> "Tab":
        """Open a tab in front of the others, and return it when its page has loaded."""
        target = (await self.call("Target.createTarget", url="about:blank"))["targetId"]
        attached = await self.call("Target.attachToTarget", targetId=target, flatten=True)
        tab = Tab(self, target, attached["sessionId"])
        # The client is no part of the page, whose policy allows no script.
        await tab.call("Page.enable")
        await tab.call("Page.setBypassCSP", enabled=True)
        await tab.go_to(url)
        return tab


class Tab:
    """One tab."""

    def __init__(self, browser: DevTools, target: str, session: str) -> None:
        self._browser = browser
        self._target = target
        self._session = session

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        return await self._browser.call(method, self._session, **parameters)

    async def go_to(self, url: str) -> None:
        """Load a page."""
        await self.call("Page.navigate", url=url)
        await self.wait(f"location.href === {json.dumps(url)} && document.readyState === 'complete'")

    async def show(self) -> None:
        """Bring the tab to the front, which hides the other one."""
        await self._browser.call("Target.activateTarget", targetId=self._target)
        await self.wait("document.visibilityState === 'visible'")

    async def freeze(self) -> None:
        """Suspend the hidden page, as a browser does to save energy."""
        await self.call("Page.setWebLifecycleState", state="frozen")

    async def resume(self) -> None:
        """Let the suspended page run again."""
        await self.call("Page.setWebLifecycleState", state="active")

    async def evaluate(self, expression: str) -> Any:
        """Return the value of an expression in JavaScript, of a promise its result."""
        answer = await self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    async def wait(self, condition: str) -> None:
        """Wait until an expression in JavaScript is true, also while the tab goes to another page."""
        error: DevToolsError | None = None
        with trio.move_on_after(TIMEOUT_MS / 1000):
            while True:
                try:
                    if await self.evaluate(condition):
                        return
                except DevToolsError as between_pages:
                    error = between_pages
                await trio.sleep(_LOOK_SECONDS)
        raise AssertionError(f"never true: {condition}; the last error: {error}")


@asynccontextmanager
async def devtools(folder: Path) -> AsyncIterator[DevTools]:
    """Run a headless browser while the block lasts.

    Args:
        folder: for its profile.
    """
    command = [CHROMIUM, *_FLAGS, f"--user-data-dir={folder}", "about:blank"]
    process = await trio.lowlevel.open_process(command, stderr=PIPE)
    assert process.stderr is not None
    try:
        with trio.fail_after(TIMEOUT_MS / 1000):
            output = b""
            while (found := _ENDPOINT.search(output)) is None:
                part = await process.stderr.receive_some()
                assert part, output
                output += part
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_discard, process.stderr)
            async with open_websocket_url(found[1].decode(), max_message_size=2**24) as socket:
                browser = DevTools(socket)
                yield browser
                await browser.call("Browser.close")
            with trio.move_on_after(_END_SECONDS):
                await process.wait()
            nursery.cancel_scope.cancel()
    finally:
        if process.poll() is None:
            process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
            await process.stderr.aclose()


async def _discard(stream: trio.abc.ReceiveStream) -> None:
    async for _ in stream:
        pass
