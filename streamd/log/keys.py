"""The idempotency keys of events: the content they stand for, and the error for other content."""

import hashlib
from collections.abc import Sequence
from typing import Any, Final

import attrs
import msgspec

from ..characters import quoted
from ..errors import IdempotencyConflict
from ..events import Draft, EventId

_DIGEST_BYTES: Final = 16


@attrs.frozen
class KnownKey:
    """A key that was used.

    Args:
        id: of the event that was published with it.
        fingerprint: of its content.
    """

    id: EventId
    fingerprint: bytes

    def check(self, key: str, fingerprint: bytes) -> None:
        """Check that a key comes with the content that it had before.

        Raises:
            IdempotencyConflict: it has other content.
        """
        if self.fingerprint != fingerprint:
            raise conflict(key)


def fingerprint(draft: Draft) -> bytes:
    """Return a digest of everything that subscribers receive of a draft."""
    content: tuple[Any, ...] = (draft.topics, draft.type, draft.data, draft.encoding, draft.retry_ms)
    if draft.private:  # left out otherwise: keys of earlier versions stay known
        content += (True,)
    return hashlib.blake2b(msgspec.msgpack.encode(content), digest_size=_DIGEST_BYTES).digest()


def fingerprints(drafts: Sequence[Draft]) -> dict[str, bytes]:
    """Return the fingerprint of each idempotency key among drafts that are appended together.

    Raises:
        IdempotencyConflict: a key occurs twice, with different content.
    """
    found: dict[str, bytes] = {}
    for draft in drafts:
        if (key := draft.idempotency_key) is not None:
            content = fingerprint(draft)
            if found.setdefault(key, content) != content:
                raise conflict(key)
    return found


def conflict(key: str) -> IdempotencyConflict:
    """Build the error for a key that was used with other content."""
    return IdempotencyConflict(
        f"idempotency key {quoted(key)} was used before with other content", field="idempotency_key"
    )
