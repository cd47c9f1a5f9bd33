"""The section ``[redis]``."""

import re
from typing import Final

import attrs

from ..config import Check, setting

_PREFIX: Final = re.compile(r"[A-Za-z0-9._:/-]{1,64}")


def _are_channels(patterns: list[str]) -> bool:
    return all(pattern and not set("[]\\") & set(pattern) for pattern in patterns)


@attrs.frozen(kw_only=True)
class RedisSettings:
    """Redis, if log.url or store.url names it."""

    prefix: str = setting(
        "streamd",
        "Prefix of all keys, between braces, so that they share one hash slot. Nodes with the same prefix "
        "share one log; other programs may use the same server with others.",
        Check(
            "1 to 64 ASCII letters, digits and . _ : / -", lambda text: _PREFIX.fullmatch(text) is not None
        ),
    )

    bridge: list[str] = setting(
        [],
        "Channels of Redis pub/sub, such as merchant:*:*, whose messages one node publishes as events; the "
        "topic is the name of the channel. * stands for any characters, ? for one.",
        Check("patterns of channels, without [ ] and backslashes", _are_channels),
    )

    @property
    def key_prefix(self) -> str:
        """The prefix as it stands in keys."""
        return f"{{{self.prefix}}}"
