"""The compared clients. Each has a page script in `pages/`, which opens a stream and counts its events."""

import json
from pathlib import Path
from typing import Final

import attrs

from ..missing import Missing
from ..peers.base import MADE, ROOT

PAGES: Final = Path(__file__).parent / "pages"
DIRECTORY: Final = MADE / "browser"
MODULES: Final = DIRECTORY / "node_modules"
OURS: Final = ROOT / "streamd" / "web" / "client"
# With esbuild, which bundles the pages.
PACKAGES: Final = (
    "@microsoft/fetch-event-source@2.0.1",
    "reconnecting-eventsource@1.6.5",
    "esbuild@0.28.2",
)


@attrs.frozen(kw_only=True)
class BrowserClient:
    """A client that a page can open streams with.

    Args:
        name: in the tables.
        page: name of its script in `pages/`.
        package: npm package; empty for the browser's own class.
        library: JavaScript module that exports only what an application uses of the package, for its size;
            empty for the browser's own class.
        has_headers: can send request headers, and so a bearer token; other pages sign in with a cookie.
    """

    name: str
    page: str
    package: str = ""
    library: str = ""
    has_headers: bool = False

    def version(self) -> str:
        """Return the package's version, empty for the browser's own class.

        Raises:
            Missing: the package is not installed.
        """
        if not self.package:
            return ""
        folder = OURS if self.package == "streamd-client" else MODULES / self.package
        try:
            return str(json.loads((folder / "package.json").read_text())["version"])
        except FileNotFoundError:
            raise Missing(f"{self.package} is not installed: run `python -m bench install`") from None


_CORE: Final = 'export { createStream } from "streamd-client";'
_ALL: Final = f"""
    {_CORE}
    export {{ ladder }} from "streamd-client/ladder";
    export {{ createSharedStream }} from "streamd-client/sharing";
"""

# In the order of the columns.
CLIENTS: Final = (
    BrowserClient(
        name="streamd-client", page="streamd", package="streamd-client", library=_CORE, has_headers=True
    ),
    BrowserClient(
        name="streamd-client with ladder and sharing",
        page="streamd-all",
        package="streamd-client",
        library=_ALL,
        has_headers=True,
    ),
    BrowserClient(name="EventSource", page="native"),
    BrowserClient(
        name="fetch-event-source",
        page="fetch-event-source",
        package="@microsoft/fetch-event-source",
        library='export { fetchEventSource } from "@microsoft/fetch-event-source";',
        has_headers=True,
    ),
    BrowserClient(
        name="reconnecting-eventsource",
        page="reconnecting",
        package="reconnecting-eventsource",
        library='export { default } from "reconnecting-eventsource";',
    ),
)
