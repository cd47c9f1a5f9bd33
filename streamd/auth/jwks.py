"""The keys that an issuer publishes at a URL, fetched again and again (RFC 7517 section 5).

Theory of operation
-------------------
One trio task fetches, whoever wants it; the others wait for the end of that fetch::

    start, 5 minutes, unknown kid -> fetch -+- a key set -> replaces all keys of the source
                                            '- a failure -> keys stay; again after a backoff

1. *A new key* is found by the first token that names it. Any caller can name unknown keys, so a fetch begins
   :data:`MIN_INTERVAL_SECONDS` after the end of the last one at the earliest; tokens in between are refused.
2. *A removed key* stops verifying with the next fetch: after :data:`REFRESH_SECONDS` at the latest, while the
   source answers.
3. *A failure* of the source takes no key away: an issuer that is down does not lock its users out. An unknown
   key is then no fault of the token, and is answered with 503 (:class:`~streamd.errors.Unavailable`).
"""

import math
from collections.abc import Callable
from typing import Final, NoReturn

import httpx
import structlog
import trio

from ..errors import StreamdError, root_cause
from ..outbound import AttemptFailed, Backoff, StreamedResponse, fetch, open_client
from .key_formats import read_jwk_set
from .settings import is_loopback_url
from .token_key import KeyRefused, TokenKey

REFRESH_SECONDS: Final = 300.0
"""Interval of fetches, and so the time after which a removed key no longer verifies."""
MIN_INTERVAL_SECONDS: Final = 5.0
"""Minimum pause between two fetches that tokens with unknown keys ask for."""
FETCH_TIMEOUT_SECONDS: Final = 5.0  # requests wait for it
MAX_ANSWER_BYTES: Final = 262_144  # 32 large keys with their certificates

_WAIT_SECONDS: Final = FETCH_TIMEOUT_SECONDS + 1.0  # also ends a wait while nothing runs the source
_BACKOFF: Final = Backoff(initial_seconds=MIN_INTERVAL_SECONDS, max_seconds=REFRESH_SECONDS)
_ACCEPT: Final = "application/jwk-set+json, application/json"
_LOGGED_REASONS: Final = 5  # keys that were left out, of one set

_log = structlog.get_logger(__name__)


class JwksSource:
    """The keys at a URL. :meth:`run` keeps them up to date.

    Args:
        url: of the key set; empty for none.
        on_change: called after the keys have changed.

    Attributes:
        keys: those of the last key set; empty before the first.
        is_failing: the last fetch failed, or none has ended yet.
    """

    def __init__(self, url: str, on_change: Callable[[], None]) -> None:
        self.keys: tuple[TokenKey, ...] = ()
        self.is_failing = bool(url)
        self._url = url
        self._on_change = on_change
        self._failures = 0
        self._earliest = -math.inf  # time of the next fetch that a token may ask for
        self._requested = trio.Event()
        self._under_way: trio.Event | None = None  # set at the end of the fetch

    def set_url(self, url: str) -> None:
        """Change the URL. Keys from another one are dropped at once."""
        if url == self._url:
            return
        self._url = url
        self.is_failing = bool(url)
        self._failures = 0
        self._replace(())
        if url:
            self._request()

    async def refresh(self) -> None:
        """Wait for the end of the fetch that is under way, or of a new one if it may begin now.

        Returns at once if there is no URL, or the last fetch has just ended. Cancelling ends the wait only.
        """
        if not self._url:
            return
        if self._under_way is None:
            if trio.current_time() < self._earliest:
                return
            self._request()
        assert self._under_way is not None
        under_way = self._under_way
        with trio.move_on_after(_WAIT_SECONDS):
            await under_way.wait()

    def _request(self) -> None:
        """Ask for a fetch, after the one that is under way."""
        if self._under_way is None:
            self._under_way = trio.Event()
        self._requested.set()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """Fetch the keys at the start, at intervals and on request, until cancelled.

        It has started before the first fetch: a server starts while its issuer is down.
        """
        task_status.started()
        while True:
            self._requested = trio.Event()
            wait_seconds = await self._update() if self._url else math.inf
            with trio.move_on_after(wait_seconds):
                await self._requested.wait()

    async def _update(self) -> float:
        """Fetch once; return the wait before the next fetch (s)."""
        if self._under_way is None:
            self._under_way = trio.Event()
        url = self._url
        try:
            keys, left_out = await _download(url)
        except (StreamdError, KeyRefused) as error:
            if url == self._url:
                self._fail(error)
        else:
            if url == self._url:
                self._succeed(keys, left_out)
        finally:
            self._under_way.set()
            self._under_way = None
            self._earliest = trio.current_time() + MIN_INTERVAL_SECONDS
        return _BACKOFF.delay(self._failures - 1) if self._failures else REFRESH_SECONDS

    def _succeed(self, keys: list[TokenKey], left_out: list[str]) -> None:
        self.is_failing = False
        self._failures = 0
        if tuple(keys) == self.keys:
            return
        log = _log.info if keys else _log.warning
        log(
            "jwks_changed",
            host=httpx.URL(self._url).host,
            keys=len(keys),
            left_out=len(left_out),
            reasons=left_out[:_LOGGED_REASONS],
        )
        self._replace(tuple(keys))

    def _fail(self, error: StreamdError | KeyRefused) -> None:
        self.is_failing = True
        self._failures += 1
        cause = root_cause(error)
        _log.warning(
            "jwks_fetch_failed",
            host=httpx.URL(self._url).host,
            reason=str(error),
            cause=None if cause is error else repr(cause)[:200],
            keys_kept=len(self.keys),
        )

    def _replace(self, keys: tuple[TokenKey, ...]) -> None:
        if keys != self.keys:
            self.keys = keys
            self._on_change()


async def _download(url: str) -> tuple[list[TokenKey], list[str]]:
    """Fetch a key set. Redirects are not followed: they may lead to an address that nobody configured.

    Raises:
        StreamdError: there is no answer, or another status than 200.
        KeyRefused: the answer is no key set.
    """
    # The environment's proxy does not see the loopback interface, and would see the keys in the clear.
    async with open_client(keep_alive=False, trust_env=not is_loopback_url(url)) as client:
        headers = {"Accept": _ACCEPT, "Accept-Encoding": "identity"}
        request = client.build_request("GET", url, headers=headers)
        text = await fetch(
            client, request, _read, attempt_timeout_seconds=FETCH_TIMEOUT_SECONDS, decode=False
        )
    return read_jwk_set(text)


async def _read(response: StreamedResponse) -> bytes:
    if response.status != 200:
        raise AttemptFailed(f"the server answered {response.status}")
    return await response.read(max_bytes=MAX_ANSWER_BYTES)
