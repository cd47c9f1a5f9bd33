"""Verification of bearer tokens: JWT (RFC 7519), by the rules of RFC 8725.

The order of the checks::

    length -> header, algorithm -> key -> signature -> claims: times, iss, aud -> Caller
                                    |
                                    '- unknown: one fetch of the issuer's keys, if it may be now

Nothing of a token but its header is decoded before its signature is verified.
"""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn

import attrs
import trio

from ..errors import InvalidToken, Unavailable
from .caller import Caller
from .claims import TokenTimes, check_issuer, read_caller
from .compact import MAX_TOKEN_BYTES, CompactToken, parse_token
from .jwks import MIN_INTERVAL_SECONDS, JwksSource
from .keys import KeyRing, load_keys
from .settings import SHARED_SECRET_ALGORITHMS, AuthSettings
from .token_key import TokenKey

MAX_CACHED_TOKENS: Final = 4096
"""Maximum number of verified tokens that are remembered; each takes about 1 kB."""


@attrs.frozen
class VerifiedToken:
    """A token whose signature and claims were right, and who has it."""

    times: TokenTimes
    caller: Caller


class TokenVerifier:
    """Verifies tokens.

    A verified token is remembered by its digest, since a signature is expensive to verify. Its times are
    checked with every use, and a change of keys or settings forgets all of them.

    Args:
        settings: which tokens are accepted.
        keys: those that the settings name; None loads them.
        clock: returns the wall clock's time (s since 1970).

    Raises:
        ConfigError: the keys cannot be loaded.
    """

    def __init__(
        self, settings: AuthSettings, keys: KeyRing | None = None, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._settings = settings
        self._own_keys = load_keys(settings) if keys is None else keys
        self._clock = clock
        self._cache: OrderedDict[bytes, VerifiedToken] = OrderedDict()
        self._jwks = JwksSource(settings.jwks_url, self._replace_keys)
        self._replace_keys()

    @property
    def keys(self) -> KeyRing:
        """The keys in effect, the fetched ones last."""
        return self._keys

    def apply_settings(self, settings: AuthSettings) -> None:
        """Apply new settings, and load the keys again, also from a file of the same name.

        Raises:
            ConfigError: the keys cannot be loaded; nothing has changed.
        """
        self._own_keys = load_keys(settings)
        self._settings = settings
        self._jwks.set_url(settings.jwks_url)
        self._replace_keys()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """Keep the issuer's keys up to date until cancelled; without ``auth.jwks_url``, wait for one."""
        await self._jwks.run(task_status=task_status)

    async def verify(self, text: str) -> Caller:
        """Return the caller of a token.

        Waits for the issuer's keys if the token names one that is not known; yields to no other trio task
        otherwise. Cancelling changes nothing.

        Raises:
            InvalidToken: the token is not valid; the sentence says why, and quotes nothing of it.
            Unavailable: its key is not known, and the issuer's keys cannot be fetched now.
        """
        if len(text) > MAX_TOKEN_BYTES:  # before its digest
            raise InvalidToken(f"the token is longer than {MAX_TOKEN_BYTES} bytes")
        digest = hashlib.sha256(text.encode(errors="surrogatepass")).digest()
        found = self._cache.get(digest)
        if found is None:
            found = await self._verify(text)
            self._remember(digest, found)
        else:
            self._cache.move_to_end(digest)
            self._check_times(digest, found)
        return found.caller

    def _check_times(self, digest: bytes, found: VerifiedToken) -> None:
        try:
            found.times.check(self._clock(), self._settings.leeway_seconds)
        except InvalidToken:
            del self._cache[digest]
            raise

    def _remember(self, digest: bytes, found: VerifiedToken) -> None:
        self._cache[digest] = found
        if len(self._cache) > MAX_CACHED_TOKENS:
            self._cache.popitem(last=False)

    async def _verify(self, text: str) -> VerifiedToken:
        token = parse_token(text, self._settings.algorithms)
        if self._may_be_fetched(token):
            await self._jwks.refresh()
        # No checkpoint from here to the cache: keys and settings stay the same.
        key = self._check_signature(token)
        return self._read(token.claims(), key)

    def _may_be_fetched(self, token: CompactToken) -> bool:
        """Return True if the issuer's key set may have the token's key, and it is not known here."""
        if token.algorithm in SHARED_SECRET_ALGORITHMS:
            return False
        # A token without `kid` may be of any key, also of those that were never fetched.
        is_incomplete = not token.key_id and self._jwks.is_failing
        return is_incomplete or not self._keys.has(token.algorithm, token.key_id)

    def _check_signature(self, token: CompactToken) -> TokenKey:
        # The settings may have changed during a fetch.
        keys = (
            self._keys.find(token.algorithm, token.key_id)
            if token.algorithm in self._settings.algorithms
            else ()
        )
        for key in keys:
            if key.verify(token.signed, token.signature):
                return key
        if self._jwks.is_failing and self._may_be_fetched(token):
            raise Unavailable(
                "the key of the token is not known, and the keys of its issuer cannot be fetched now",
                retry_after_seconds=MIN_INTERVAL_SECONDS,
            )
        if keys:
            raise InvalidToken("the signature of the token is wrong")
        raise InvalidToken(
            "the key of the token (kid) is not known"
            if token.key_id
            else f"there is no key for the algorithm of the token ({token.algorithm})"
        )

    def _read(self, claims: Mapping[str, Any], key: TokenKey) -> VerifiedToken:
        times = TokenTimes.read(claims)
        times.check(self._clock(), self._settings.leeway_seconds)
        check_issuer(claims, self._settings)
        caller = read_caller(claims, times, self._settings)
        return VerifiedToken(times, attrs.evolve(caller, key=key.name))

    def knows(self, name: str) -> bool:
        """Return True if there is a key of this name, and its algorithm is accepted."""
        return name in self._names

    def _replace_keys(self) -> None:
        self._keys = KeyRing(self._own_keys.keys + self._jwks.keys)
        self._names = {key.name for key in self._keys.keys if key.algorithm in self._settings.algorithms}
        self._cache.clear()
