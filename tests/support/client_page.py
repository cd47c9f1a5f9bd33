"""A page in Chromium that follows a stream with the built client, and records what the client tells it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from playwright.sync_api import Browser, BrowserContext, Page

from tests.support.browser import TIMEOUT_MS

PLAIN_PATH: Final = "/client/streamd.js"
"""A page that shows text, without a stream. Browsers may keep it, unlike one with `no-store`."""
_NOW_SECONDS: Final = 1_800_000_000  # of a clock that is paused
_STEPS_MAX: Final = 2000

# The options may use `ladder`, the ladder's module, and `recorded`.
_FOLLOW: Final = """
(async () => {
  const server = new URL(%(url)s, location.href); // it serves the client, too
  const [{ %(create)s: create }, ladder] = await Promise.all([
    import(new URL(%(module)s, server)),
    import(new URL("/client/ladder.js", server)).catch(() => null),
  ]);
  const controls = ["connected", "heartbeat", "gap", "token-expiring", "closing"];
  const recorded = (window.recorded = { data: [], events: [], controls: [], states: [], phases: [] });
  const stream = (window.stream = create(%(url)s, {
    ...(%(options)s),
    onState: (state) => {
      recorded.states.push({ ...state, failure: state.failure && { ...state.failure } });
      if (recorded.phases.at(-1) !== state.phase) recorded.phases.push(state.phase);
    },
    onEvent: (event) => {
      if (controls.includes(event.type)) recorded.controls.push(event.type);
      else {
        recorded.events.push({ ...event });
        recorded.data.push(event.data);
      }
    },
  }));
  stream.connect().catch(() => {}); // the states have the failure
})()
"""


def follow_script(url: str, options: str, *, shared: bool = False) -> str:
    """Return JavaScript that opens a stream as the page's global ``stream``, and records it in ``recorded``.

    Args:
        url: of the stream, relative to the page; of another origin, the client comes from there.
        options: JavaScript of the stream's options.
        shared: True for a stream whose connection is shared between the tabs of the origin.
    """
    module, create = ("sharing", "createSharedStream") if shared else ("streamd", "createStream")
    names = {"module": f"'/client/{module}.js'", "create": create}
    return _FOLLOW % {"url": repr(url), "options": options, **names}


def greeted(connections: int) -> str:
    """Return a condition: the stream is open, and the server has greeted it so often."""
    greetings = "recorded.controls.filter((name) => name === 'connected').length"
    return f"stream.isConnected && {greetings} >= {connections}"


class ClientPage:
    """A page whose global ``stream`` is a stream, and whose ``recorded`` has its events and states.

    Attributes:
        page: the page itself.
    """

    def __init__(self, page: Page) -> None:
        self.page = page

    def follow(self, url: str = "/events", options: str = "{}", *, shared: bool = False) -> None:
        """Open a stream, see :func:`follow_script`."""
        self.page.evaluate(follow_script(url, options, shared=shared))

    def wait(self, condition: str) -> None:
        """Wait until an expression in JavaScript is true. It is looked at by time, also in a hidden page."""
        try:
            self.page.wait_for_function(condition, polling=20)
        except Exception as error:
            found = self.page.evaluate("({ ...recorded, data: recorded.data.length, events: null })")
            raise AssertionError(f"never true: {condition}; recorded: {found}") from error

    def wait_open(self, connections: int = 1) -> None:
        """Wait until the stream is open and the server has greeted it so often."""
        self.wait(greeted(connections))

    def wait_data(self, last: object) -> None:
        """Wait for the event with this data."""
        self.wait(f"recorded.data.includes('{last}')")

    def pause_clock(self) -> None:
        """Stop the page's clock; then time passes by :meth:`pass_time` and ``page.clock`` alone."""
        self.page.clock.install(time=_NOW_SECONDS)
        self.page.clock.pause_at(_NOW_SECONDS + 60)

    def pass_time(self, step_ms: int, condition: str) -> None:
        """Let time pass in steps until an expression in JavaScript is true."""
        for _ in range(_STEPS_MAX):
            if self.page.evaluate(condition):
                return
            self.page.clock.run_for(step_ms)
        raise AssertionError(f"never true: {condition}; the state: {self.state}")

    @property
    def data(self) -> list[str]:
        """The data of all events, in the order of their arrival."""
        data: list[str] = self.page.evaluate("recorded.data")
        return data

    @property
    def controls(self) -> list[str]:
        """The names of all control frames."""
        controls: list[str] = self.page.evaluate("recorded.controls")
        return controls

    @property
    def phases(self) -> list[str]:
        """The phases of the stream, each once in succession."""
        phases: list[str] = self.page.evaluate("recorded.phases")
        return phases

    @property
    def state(self) -> dict[str, Any]:
        """The present state; of the failure only its fields."""
        state: dict[str, Any] = self.page.evaluate("recorded.states.at(-1)")
        return state

    @property
    def transports(self) -> list[str]:
        """The transports that were tried, in order, each once in succession."""
        tried: Sequence[str | None] = self.page.evaluate("recorded.states.map((state) => state.transport)")
        names = [name for name in tried if name is not None]
        return [name for number, name in enumerate(names) if number == 0 or names[number - 1] != name]


def open_page(context: BrowserContext, url: str) -> ClientPage:
    """Open a plain page of a server in a browser's context."""
    page = context.new_page()
    page.set_default_timeout(TIMEOUT_MS)
    page.goto(f"{url}{PLAIN_PATH}")
    return ClientPage(page)


@contextmanager
def client_context(browser: Browser) -> Iterator[BrowserContext]:
    """Make a context with a storage of its own, whose pages may load scripts and trust the tests' servers."""
    with browser.new_context(bypass_csp=True, ignore_https_errors=True) as context:
        yield context
