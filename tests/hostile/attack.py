"""The attacks by name, and how one is declared."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import attrs

from tests.hostile.target import Target

Function = Callable[[Target], Awaitable[None]]
ATTACK_SECONDS: Final = 2.5
SMALL_LOG_BYTES: Final = 2_000_000
"""Size of a log that the first round of an attack fills, so that what the second adds is no kept event."""

LITTLE_STORAGE: Final[Mapping[str, Any]] = {
    "tuning__store__max_bytes": 2_000_000,
    "tuning__tasks__sweep_seconds": 0.2,
    "tasks__keep_seconds": 1,
    "log__max_bytes": 4_000_000,
    "log__max_events": 2000,
    "log__topic_max_events": 2000,
    "tuning__hub__max_lag_events": 2000,
    "sentiment__max_items": 5000,
}
"""Settings of a server that keeps all that it may after the first round of an attack. What it keeps on
purpose does not grow in the second one: growth is a leak, or a peak."""


@attrs.frozen
class Attack:
    """One way to use up a server, with the server that it is tried on.

    Args:
        name: on the command line and in the table.
        kind: the protocol or the part of the server that it aims at: the name of its module.
        function: attacks until it is cancelled, or has done what it does; so it is bounded in time, and by
            itself in memory and connections.
        tls: the server speaks TLS.
        seconds: after which the attack is cancelled.
        settings: of the server, as for :func:`tests.support.server_process.server_process`.
        options: further flags of ``streamd serve``.
        max_files: hard limit of the server's open files; None: the harness's own.
    """

    name: str
    kind: str
    function: Function
    tls: bool = False
    seconds: float = ATTACK_SECONDS
    settings: Mapping[str, Any] = attrs.field(factory=dict)
    options: tuple[str, ...] = ()
    max_files: int | None = None

    @property
    def says(self) -> str:
        """The first line of the function's docstring: what the attacker does."""
        return (self.function.__doc__ or "").strip().partition("\n")[0]


ATTACKS: Final[dict[str, Attack]] = {}
"""All attacks by name, once :mod:`tests.hostile.attacks` is imported."""


def attack(
    *,
    tls: tuple[bool, ...] = (False,),
    seconds: float = ATTACK_SECONDS,
    options: tuple[str, ...] = (),
    max_files: int | None = None,
    **settings: Any,
) -> Callable[[Function], Function]:
    """Declare a function as an attack; its name with dashes is the attack's, and ``-tls`` is added for TLS.

    Args:
        tls: one attack each, without TLS and with it.
        seconds, options, max_files, settings: as for :class:`Attack`.
    """

    def add(function: Function) -> Function:
        kind = function.__module__.rpartition(".")[2]
        for is_tls in tls:
            name = function.__name__.replace("_", "-") + ("-tls" if is_tls else "")
            assert name not in ATTACKS, name
            ATTACKS[name] = Attack(name, kind, function, is_tls, seconds, settings, options, max_files)
        return function

    return add
