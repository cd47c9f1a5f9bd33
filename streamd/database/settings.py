"""The section ``[store]``."""

import attrs

from ..config import Check, one_of, setting


def _is_known(url: str) -> bool:
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
        Check("sqlite:PATH, memory: or empty", _is_known),
    )
    synchronous: str = setting(
        "normal",
        "Durability of a write: normal survives a crash of the process, full that of the machine, too.",
        one_of("normal", "full"),
    )
