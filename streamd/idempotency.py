"""Idempotency keys: a request that is sent again makes no second resource.

A client sends ``Idempotency-Key`` with a POST, and the same key with each retry of it
(draft-ietf-httpapi-idempotency-key-header-07). A store keeps the key in the transaction that makes the
resource, and for as long as the resource:

=========================  ==================================================================
first request              the resource and its key are stored
same key, same content     the resource is returned, in its current state
same key, other content    :class:`~.errors.IdempotencyConflict`
rejected request           nothing is stored, so the key can be used for the corrected request
resource deleted           its key is deleted with it, so the next request makes a new resource
=========================  ==================================================================
"""

import hashlib
import re
from typing import Any, Final

import attrs
import msgspec

from .characters import quoted
from .errors import IdempotencyConflict, InvalidField

IDEMPOTENCY_KEY: Final = "Idempotency-Key"
"""The header, and the field that errors name."""

KEY_CHARS_MAX: Final = 255  # as the widely used APIs with this header allow; a UUID has 36

_KEY: Final = re.compile(rf"[\x21-\x7e]{{1,{KEY_CHARS_MAX}}}")


@attrs.frozen
class IdempotencyKey:
    """An idempotency key with the content of its request. Make one with :meth:`create`.

    Args:
        scope: the namespace of the key, such as the kind and the owner of a task.
        text: the key.
        fingerprint: a digest of the content (32 bytes), by which other content is recognised.
    """

    scope: str
    text: str
    fingerprint: bytes

    @classmethod
    def create(cls, text: str, content: Any, *, scope: str = "") -> "IdempotencyKey":
        """Check a key, and compute the fingerprint of a content.

        Args:
            text: the key.
            content: a JSON value; the order of an object's members has no meaning, and ``1`` is not ``1.0``.
                A ``msgspec.Raw`` in it is compared byte by byte.
            scope: the namespace of the key.

        Raises:
            InvalidField: the key is too long, or has characters that it may not have.
        """
        canonical = msgspec.json.encode(content, order="sorted")
        return cls(scope, check_key(text), hashlib.sha256(canonical).digest())

    @property
    def name(self) -> str:
        """The namespace and the key, for stores with one column: a key has no space."""
        return f"{self.scope} {self.text}" if self.scope else self.text

    def check(self, stored_fingerprint: bytes) -> None:
        """Check that the resource of this key was made from the same content.

        Raises:
            IdempotencyConflict: it was made from other content.
        """
        if stored_fingerprint != self.fingerprint:
            raise self.conflict()

    def conflict(self) -> IdempotencyConflict:
        """Build the error for a request with the key and other content."""
        return IdempotencyConflict(
            f"{IDEMPOTENCY_KEY} {quoted(self.text)} was used before with other content", field=IDEMPOTENCY_KEY
        )


def check_key(text: str) -> str:
    """Return an idempotency key if it has 1 to 255 visible ASCII characters.

    Raises:
        InvalidField: it is not such a text.
    """
    if not _KEY.fullmatch(text):
        raise InvalidField(
            f"{IDEMPOTENCY_KEY} must have 1 to {KEY_CHARS_MAX} visible ASCII characters without spaces",
            field=IDEMPOTENCY_KEY,
        )
    return text
