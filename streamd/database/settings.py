"""The section ``[store]``."""

import attrs

from ..config import Check, one_of, setting


def is_storage_url(url: str) -> bool:
    """Return True for ``sqlite:PATH``, ``memory:`` and an empty text."""
    scheme, _, path = url.partition(":")
    return not url or (scheme, bool(path)) in (("memory", False), ("sqlite", True))


@attrs.frozen(kw_only=True)
class StoreSettings:
    """The database of tasks, orders and items."""

    url: str = setting(
        "",
        "sqlite:PATH keeps them in a file that one streamd uses alone; memory: in this process only. Empty: "
        "sqlite:streamd.db in the working directory for `streamd serve`, memory: for an application of your "
        "own.",
        Check("sqlite:PATH, memory: or empty", is_storage_url),
    )
    synchronous: str = setting(
        "normal",
        "Durability of a write: normal survives a crash of the process, full that of the machine, too.",
        one_of("normal", "full"),
    )
