"""Deciding which callers are revoked, and revoking."""

import math
import time
from collections.abc import Callable, Sequence
from typing import Final, NoReturn

import structlog
import trio

from ...characters import check_text
from ...errors import InvalidField, StreamdError, Unavailable
from ..caller import Caller
from ..settings import AuthSettings
from .port import Revocation, RevocationKind, RevocationReading, RevocationStore

LOOK_SECONDS: Final = 0.5
"""Interval of looks at the revocations of other nodes (s)."""

KEPT_SECONDS: Final = 365 * 86_400.0
"""Time for which a user, or a token of unknown expiry, stays revoked (s); the settings have no end."""

_DROP_SECONDS: Final = 60.0
_NAME_CHARS_MAX: Final = 1000
_LATEST_SECONDS: Final = 253_402_300_799  # the end of the year 9999
_MS: Final = 1000

_log = structlog.get_logger(__name__)


class Revocations:
    """The revocations of one application. :meth:`run` must run for as long as they are used.

    Args:
        store: the stored revocations.
        settings: those of the configuration.
        now: the wall clock (s since 1970).

    Attributes:
        version: number of changes after which a caller may be revoked that was not.
    """

    def __init__(
        self, store: RevocationStore, settings: AuthSettings, now: Callable[[], float] = time.time
    ) -> None:
        self.version = 0
        self._store = store
        self._now = now
        self._tokens: dict[str, Revocation] = {}
        self._users: dict[str, Revocation] = {}
        self._settings_tokens = frozenset(settings.revoked_tokens)
        self._settings_users = frozenset(settings.revoked_users)
        self._changed = trio.Event()
        self._is_behind = False

    # --- deciding -----------------------------------------------------------------------------------

    def is_revoked(self, caller: Caller) -> bool:
        """Return True if the caller's token is revoked. It takes a microsecond."""
        token_id, user = caller.token_id, caller.user
        if token_id and (token_id in self._tokens or token_id in self._settings_tokens):
            return True
        if not user:
            return False
        if user in self._settings_users:
            return True
        revocation = self._users.get(user)
        if revocation is None:
            return False
        return caller.issued_at is None or not caller.issued_at * _MS > revocation.revoked_at_ms

    async def wait_for_change(self, version: int) -> int:
        """Wait until the version is another than this one, and return it."""
        await trio.lowlevel.checkpoint()
        while self.version == version:
            await self._changed.wait()
        return self.version

    def list(self) -> Sequence[Revocation]:
        """Return the revocations that were added, the newest first; those of the settings are left out."""
        both = [*self._tokens.values(), *self._users.values()]
        return sorted(both, key=lambda each: (-each.revoked_at_ms, each.key))

    # --- revoking -----------------------------------------------------------------------------------

    async def revoke_token(self, token_id: str, until: float | None = None) -> Revocation:
        """Revoke a token; on other nodes it takes effect within a second.

        Cancelling takes effect before the token is revoked, or not at all.

        Args:
            token_id: its ``jti``.
            until: the time at which it expires (s since 1970); None if that is unknown, for a year.

        Raises:
            InvalidField: the token id or the time is invalid.
            Unavailable: too many tokens are revoked, or the store cannot be written now.
            OutcomeUnknown: the connection to Redis was lost: the token may be revoked, or not.
        """
        check_text(token_id, "token_id", max_chars=_NAME_CHARS_MAX)
        if until is not None and not math.isfinite(until):
            raise InvalidField("until must be a finite number of seconds since 1970", field="until")
        return await self._revoke(RevocationKind.TOKEN, token_id, until)

    async def revoke_user(self, user: str) -> Revocation:
        """Revoke the tokens of a user that were issued until now, for a year; as :meth:`revoke_token`.

        ``iat`` has whole seconds, so a token that is issued later within the same second is covered, too. If
        the issuer's clock is ahead, a token that was issued just before the revocation is not.

        Raises:
            InvalidField: the user is invalid.
            Unavailable, OutcomeUnknown: see :meth:`revoke_token`.
        """
        check_text(user, "user", max_chars=_NAME_CHARS_MAX)
        return await self._revoke(RevocationKind.USER, user, None)

    async def _revoke(self, kind: RevocationKind, name: str, until: float | None) -> Revocation:
        now = self._now()
        until = now + KEPT_SECONDS if until is None else min(max(until, now), _LATEST_SECONDS)
        revocation = Revocation(kind, name, _milliseconds(now), _milliseconds(until))
        await self._store.add([revocation], _milliseconds(now))
        self._take([revocation])
        _log.info("token_revoked" if kind is RevocationKind.TOKEN else "user_revoked")
        return revocation

    def apply_settings(self, settings: AuthSettings) -> None:
        """Apply the revocations of changed settings."""
        tokens, users = frozenset(settings.revoked_tokens), frozenset(settings.revoked_users)
        if (tokens, users) != (self._settings_tokens, self._settings_users):
            self._settings_tokens, self._settings_users = tokens, users
            self._note_change()

    def _take(self, revocations: Sequence[Revocation]) -> None:
        """Put revocations into force."""
        changed = False
        for revocation in revocations:
            of_kind = self._of_kind(revocation.kind)
            known = of_kind.get(revocation.name)
            merged = revocation.merge(known)
            if merged != known:
                of_kind[revocation.name] = merged
                changed = True
        if changed:
            self._note_change()

    def _of_kind(self, kind: RevocationKind) -> dict[str, Revocation]:
        return self._tokens if kind is RevocationKind.TOKEN else self._users

    def _note_change(self) -> None:
        self.version += 1
        self._changed.set()
        self._changed = trio.Event()

    # --- the store ----------------------------------------------------------------------------------

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """Read the store, follow other nodes, and drop expired revocations, until cancelled.

        ``task_status.started`` is called when all stored revocations are in force.

        Raises:
            Unavailable: the store cannot be read at the start.
        """
        self._take((await self._store.read()).revocations)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._drop_regularly)
            if self._store.is_shared:
                nursery.start_soon(self._follow)
            task_status.started()
        raise AssertionError("revocations are followed until it is cancelled")

    async def _follow(self) -> NoReturn:
        while True:
            await trio.sleep(LOOK_SECONDS)
            try:
                reading = await self._store.read()
            except Unavailable as error:
                if not self._is_behind:
                    _log.warning("revocations_not_read", detail=error.detail)
                self._is_behind = True
                continue
            if self._is_behind:
                _log.info("revocations_read_again")
            self._is_behind = False
            self._take(reading.revocations)
            if reading.is_complete:
                await self._store_missing(reading)

    async def _store_missing(self, reading: RevocationReading) -> None:
        """Store the revocations again that the store has lost."""
        stored = {each.key: each for each in reading.revocations}
        now_ms = _milliseconds(self._now())
        missing = [
            each for each in self.list() if each != stored.get(each.key) and not each.is_expired(now_ms)
        ]
        if not missing:
            return
        _log.warning("revocations_stored_again", number=len(missing))
        try:
            await self._store.add(missing, now_ms)
        except StreamdError as error:  # tried again with the next complete reading
            _log.warning("revocations_not_stored", detail=error.detail)

    async def _drop_regularly(self) -> NoReturn:
        while True:
            await trio.sleep(_DROP_SECONDS)
            now_ms = _milliseconds(self._now())
            if not any(each.is_expired(now_ms) for each in self.list()):
                continue
            try:
                await self._store.drop(now_ms)
            except Unavailable as error:  # tried again, since they are still known
                _log.warning("revocations_not_dropped", detail=error.detail)
                continue
            for each in self.list():
                if each.is_expired(now_ms):
                    del self._of_kind(each.kind)[each.name]


def _milliseconds(seconds: float) -> int:
    """Round up, so that a revocation is not shorter than it was meant."""
    return math.ceil(seconds * _MS)
