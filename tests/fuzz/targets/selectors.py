"""Topics and patterns of subscriptions."""

import re
from typing import Final

from streamd.errors import InvalidField
from streamd.events import Selectors
from tests.fuzz.target import Target, check_refusal

_SEPARATOR: Final = re.compile(r"([/:])")


def _take_pattern(data: bytes) -> None:
    """Match a topic, after a zero byte, with a pattern, and compare with a slow matcher."""
    pattern, _, topic = data.decode(errors="surrogateescape").partition("\0")
    try:
        selectors = Selectors.parse(
            [topic], [pattern], max_selectors=2, max_topic_bytes=1024, max_pattern_bytes=1024
        )
    except InvalidField as error:
        check_refusal(error)
        return
    assert selectors.matches([topic])
    assert selectors.without(Selectors([topic])).matches([topic]) == _matches(pattern, topic)


def _matches(pattern: str, topic: str) -> bool:
    """Match segment by segment."""
    if pattern == "*":
        return True
    segments, found = _SEPARATOR.split(pattern), _SEPARATOR.split(topic)
    if segments[-1] == "**":
        rest = "".join(found[len(segments) - 1 :])
        segments, found = segments[:-1], found[: len(segments) - 1]
        if not rest:
            return False
    return len(segments) == len(found) and all(
        bool(has) if wanted == "*" else wanted == has for wanted, has in zip(segments, found, strict=True)
    )


TARGETS: Final = {
    "pattern": Target(
        _take_pattern,
        (
            b"*\0a/b",
            b"orders/*\0orders/1",
            b"merchant:*/**\0merchant:m1/a:b",
            b"a/**/b\0a",
            b"*/*:*/*\0a/b:c/d",
            b"**\0\xc3\xa9",
            b"**/" + b"x" * 900 + b"\0a",
            b"*/" * 200 + b"**\0" + b"a/" * 200,
        ),
        (b"**", b"/*", b":*", b"*/*/*/*/*/*/*", b"\0"),
        2048,
    ),
}
