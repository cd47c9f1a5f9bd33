"""The arguments of scripts that append."""

import hashlib
from collections.abc import Mapping, Sequence

from ...events import Draft
from ...redis.link import Argument
from ..port import Condition
from .codec import encode_body, encode_head, to_redis


def append_arguments(
    drafts: Sequence[Draft],
    keys: Mapping[str, bytes],
    conditions: Sequence[Condition],
    publisher: str,
    idempotency_seconds: float,
    now_ms: str,
    age_ms: str,
) -> list[Argument]:
    """Return the arguments after the node and the numbers; see ``append.lua``.

    Args:
        drafts: to append.
        keys: fingerprints of their idempotency keys.
        conditions: to be checked.
        publisher: the owner of the keys.
        idempotency_seconds: how long keys are known (s).
        now_ms: time for ids, '' for the server's (ms).
        age_ms: time for ages, '' for the server's (ms).
    """
    arguments: list[Argument] = [now_ms, age_ms, round(idempotency_seconds * 1000), len(conditions)]
    for condition in conditions:
        arguments += [condition.topic, to_redis(condition.id)]
    for draft in drafts:
        key = draft.idempotency_key
        arguments += [
            b"" if key is None else _digest(publisher, key),
            b"" if key is None else keys[key],
            *_encode(draft),
        ]
    return arguments


def keyless_arguments(drafts: Sequence[tuple[Draft, str]]) -> list[Argument]:
    """Return the arguments of drafts with notes, whose keys have no meaning; see ``events.lua``."""
    arguments: list[Argument] = []
    for draft, note in drafts:
        arguments += [b"", b"", *_encode(draft, note)]
    return arguments


def _encode(draft: Draft, note: str = "") -> list[Argument]:
    return [encode_head(draft), encode_body(draft, note), len(draft.topics), *draft.topics]


def _digest(publisher: str, key: str) -> bytes:
    """Return a name for the key of a publisher that has the same length for all."""
    digest = hashlib.blake2b(publisher.encode(), digest_size=16)
    digest.update(b"\0" + key.encode())
    return digest.digest()
