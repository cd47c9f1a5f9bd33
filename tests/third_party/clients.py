"""The clients of others that the soak test uses, and what each of them cannot do by its own defect."""

from typing import Final, Literal

import attrs


@attrs.frozen(kw_only=True)
class ThirdPartyClient:
    """A client, and its driver in ``drivers/``.

    Args:
        name: the package, or the program.
        runs_in: ``node`` and ``python`` drivers are processes, ``chromium`` ones pages.
        driver: name of the driver.
        is_websocket: receives over WebSocket; the others over SSE.
        comes_back: comes back by itself after an answer 429 or 503; the others need ``on_limit=retry``.
        ignores_204: why it does not stop at an answer 204; empty for clients that do.
        loses: why a cut within an event may lose that event; empty for clients that lose none.
    """

    name: str
    runs_in: Literal["node", "python", "chromium"]
    driver: str
    is_websocket: bool = False
    comes_back: bool = True
    ignores_204: str = ""
    loses: str = ""


CLIENTS: Final = (
    ThirdPartyClient(name="eventsource", runs_in="node", driver="eventsource", comes_back=False),
    ThirdPartyClient(name="eventsource-client", runs_in="node", driver="eventsource_client"),
    ThirdPartyClient(name="ws", runs_in="node", driver="ws", is_websocket=True),
    ThirdPartyClient(name="EventSource of Chromium", runs_in="chromium", driver="native", comes_back=False),
    ThirdPartyClient(
        name="@microsoft/fetch-event-source",
        runs_in="chromium",
        driver="fetch_event_source",
        loses="it takes the id of an event when it has read the field, before the event is complete",
    ),
    ThirdPartyClient(
        name="event-source-polyfill", runs_in="chromium", driver="event_source_polyfill", comes_back=False
    ),
    ThirdPartyClient(
        name="reconnecting-eventsource",
        runs_in="chromium",
        driver="reconnecting_eventsource",
        ignores_204="it makes a new EventSource after every answer that ends the browser's own",
    ),
    ThirdPartyClient(name="websockets", runs_in="python", driver="read_websockets", is_websocket=True),
    ThirdPartyClient(name="httpx-sse", runs_in="python", driver="read_httpx_sse"),
    ThirdPartyClient(name="sseclient-py", runs_in="python", driver="read_sseclient"),
    ThirdPartyClient(name="requests", runs_in="python", driver="read_requests"),
    ThirdPartyClient(name="curl", runs_in="python", driver="read_curl"),
)
