"""Answers that reject: 503, 204, 401, and tokens that expire."""

import time
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from math import isinf
from typing import Final

from streamd.auth.compact import sign_token
from streamd.auth.generate import generate_secret
from streamd.auth.key_formats import read_secret

from ...peers.base import HOST
from ..exchange import Answer, Request
from ..proxy import pass_on
from ..server import Server
from ..tables import Counts
from ..tabs import Tab
from .base import FIRST_NUMBERS, SECONDS_MAX, Case, Cell, losses, plural, show_losses
from .outages import show_back

_ONCE_RETRY_SECONDS: Final = 1
_STORM_RETRY_SECONDS: Final = 2
_STORM_SECONDS: Final = 6.0
_WATCH_SECONDS: Final = 6.0
_TOKEN_SECONDS: Final = 5.0
_MEANWHILE: Final = range(10, 20)
_BOTH: Final = range(20)
_COOKIE: Final = "streamd_bench"
_TOKEN_PATH: Final = "/bench/token"  # noqa: S105 - a path


def _for_streams(answer: Answer) -> Callable[[Request], Answer | None]:
    return lambda request: answer if request.is_stream else None


def unavailable_once(cell: Cell) -> Counts:
    def reject_first(request: Request) -> Answer | None:
        is_first = request.is_stream and len(cell.requests) == 1
        return Answer(503, {"Retry-After": str(_ONCE_RETRY_SECONDS)}) if is_first else None

    cell.proxy.rule = reject_first
    tab = cell.new_tab()
    cell.start(tab)
    tab.wait(lambda: len(cell.requests) > 1, SECONDS_MAX)
    waits = [later.at - cell.requests[0].at for later in cell.requests[1:2]]
    return {"again_s": waits[0] if waits else float("inf")}


def show_again(counts: dict[str, float]) -> str:
    if isinf(counts["again_s"]):
        return f"not again in {SECONDS_MAX:.0f} s"
    return f"again after {counts['again_s']:.1f} s"


def storm(cell: Cell) -> Counts:
    tab = cell.open()
    cell.proxy.rule = _for_streams(Answer(503, {"Retry-After": str(_STORM_RETRY_SECONDS)}))
    began = time.time()
    cell.proxy.cut()
    cell.publish(_MEANWHILE)
    tab.sleep(_STORM_SECONDS)
    cell.proxy.rule = pass_on
    ended = time.time()
    tab.wait_for(len(_BOTH), SECONDS_MAX)
    rejected = [request.at for request in cell.requests_since(began) if request.at < ended]
    asked = [request.at for request in cell.requests_since(began)]
    early = sum(
        later - earlier < _STORM_RETRY_SECONDS for earlier, later in pairwise(asked) if earlier < ended
    )
    return losses(tab.read(), _BOTH) | {
        "rejected": len(rejected),
        "early": early,
        "back_s": tab.arrived_at(_BOTH[-1]) - ended,
    }


def show_storm(counts: dict[str, float]) -> str:
    rejected = plural(counts["rejected"], "request")
    return f"{rejected} meanwhile, {counts['early']:.0f} too early; {show_back(counts)}"


def no_content(cell: Cell) -> Counts:
    tab = cell.open()
    cell.proxy.rule = _for_streams(Answer(204))
    at = time.time()
    cell.proxy.cut()
    tab.sleep(_WATCH_SECONDS)
    return {"requests": len(cell.requests_since(at))}


def unauthorized(cell: Cell) -> Counts:
    def reject(request: Request) -> Answer | None:
        if request.path == _TOKEN_PATH:
            return Answer(200, {"Content-Type": "text/plain"}, b"refused")
        return Answer(401) if request.is_stream else None

    cell.proxy.rule = reject
    tab = cell.new_tab()
    cell.start(tab, token=True)
    tab.sleep(_WATCH_SECONDS)
    return {"requests": len(cell.requests)}


def show_requests(counts: dict[str, float]) -> str:
    return f"{plural(counts['requests'], 'request')} in {_WATCH_SECONDS:.0f} s"


@cache
def _secret() -> str:
    return generate_secret("HS256")


def _sign(seconds: float, **claims: object) -> str:
    return sign_token(read_secret(_secret()), {"sub": "bench", "exp": time.time() + seconds, **claims})


def token_expiry(cell: Cell) -> Counts:
    publisher = _sign(3600, publish=["*"])
    settings = {
        "STREAMD_AUTH__KEYS": _secret(),
        "STREAMD_TUNING__AUTH__COOKIE": _COOKIE,
        "STREAMD_TUNING__AUTH__LEEWAY_SECONDS": "0",
    }
    with Server(settings, publisher) as server, cell.rig.cell(cell.client, server) as signed_in:
        return _watch_expiry(signed_in)


def _watch_expiry(cell: Cell) -> Counts:
    def issue(request: Request) -> Answer | None:
        token = _sign(_TOKEN_SECONDS, subscribe=[cell.topic]).encode()
        return Answer(200, {"Content-Type": "text/plain"}, token) if request.path == _TOKEN_PATH else None

    cell.proxy.rule = issue
    tab = cell.new_tab()
    if not cell.client.has_headers:
        _sign_in(tab, cell.topic)
    cell.start(tab, token=cell.client.has_headers)
    cell.await_streams(tab, 1)
    cell.publish(FIRST_NUMBERS)
    began = time.time()
    tab.wait(lambda: not cell.proxy.streams(), 2 * _TOKEN_SECONDS)
    cell.publish(_MEANWHILE)
    tab.wait_for(len(_BOTH), SECONDS_MAX / 2)
    return losses(tab.read(), _BOTH) | {"requests": len(cell.requests_since(began))}


def _sign_in(tab: Tab, topic: str) -> None:
    """Give the page the cookie that a sign-in would give it, as EventSource can send no header."""
    token = _sign(_TOKEN_SECONDS, subscribe=[topic])
    tab.page.context.add_cookies([{"name": _COOKIE, "value": token, "url": f"http://{HOST}"}])


def show_expiry(counts: dict[str, float]) -> str:
    return f"{plural(counts['requests'], 'request')}, {show_losses(counts)}"


REJECTIONS: Final = (
    Case(
        "503 at the first request",
        f"The first request gets 503 with Retry-After: {_ONCE_RETRY_SECONDS}, the next ones pass.",
        unavailable_once,
        show_again,
    ),
    Case(
        f"503 for {_STORM_SECONDS:.0f} s",
        f"The connection is cut, then all requests get 503 with Retry-After: {_STORM_RETRY_SECONDS}.",
        storm,
        show_storm,
    ),
    Case("204 at the reconnect", "The connection is cut, then requests get 204.", no_content, show_requests),
    Case("401 always", "Every request gets 401, whatever its token.", unauthorized, show_requests),
    Case(
        "token expires",
        f"Tokens expire after {_TOKEN_SECONDS:.0f} s, and end the stream; the page can fetch others.",
        token_expiry,
        show_expiry,
    ),
)
