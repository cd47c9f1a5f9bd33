"""Callers as JSON, as they are stored with a ticket.

Nodes of different versions may share a Redis during an upgrade: unknown members are ignored, and new ones
need a default that grants nothing.
"""

from typing import Final

import msgspec

from ..errors import InvalidField
from ..events import Pattern, Selectors
from .caller import Caller
from .grants import Grant, TaskScope


class _StoredSelectors(msgspec.Struct, frozen=True, omit_defaults=True):
    """Selectors as texts; a topic may look like a pattern, so each kind has its own list."""

    topics: list[str] = []
    patterns: list[str] = []


class _StoredCaller(msgspec.Struct, frozen=True, omit_defaults=True):
    """A caller and its grant."""

    user: str = ""
    merchant: str = ""
    publish: _StoredSelectors = _StoredSelectors()
    subscribe: _StoredSelectors = _StoredSelectors()
    tasks: TaskScope = TaskScope.NONE
    admin: bool = False
    key: str = ""
    token_id: str = ""
    issued_at: float | None = None
    expires_at: float | None = None


_decode: Final = msgspec.json.Decoder(_StoredCaller).decode


def encode_caller(caller: Caller) -> bytes:
    """Encode a caller."""
    grant = caller.grant
    return msgspec.json.encode(
        _StoredCaller(
            user=caller.user,
            merchant=caller.merchant,
            publish=_as_texts(grant.publish),
            subscribe=_as_texts(grant.subscribe),
            tasks=grant.tasks,
            admin=grant.admin,
            key=caller.key,
            token_id=caller.token_id,
            issued_at=caller.issued_at,
            expires_at=caller.expires_at,
        )
    )


def decode_caller(record: bytes) -> Caller:
    """Decode a caller.

    Raises:
        ValueError: the record is damaged.
    """
    try:
        stored = _decode(record)
        grant = Grant(
            _from_texts(stored.publish), _from_texts(stored.subscribe), stored.tasks, admin=stored.admin
        )
    except (msgspec.MsgspecError, InvalidField) as error:
        raise ValueError(str(error)) from error
    return Caller(
        user=stored.user,
        merchant=stored.merchant,
        grant=grant,
        key=stored.key,
        token_id=stored.token_id,
        issued_at=stored.issued_at,
        expires_at=stored.expires_at,
    )


def _as_texts(selectors: Selectors) -> _StoredSelectors:
    return _StoredSelectors(sorted(selectors.topics), sorted(each.text for each in selectors.patterns))


def _from_texts(stored: _StoredSelectors) -> Selectors:
    return Selectors(stored.topics, [Pattern(text) for text in stored.patterns])
