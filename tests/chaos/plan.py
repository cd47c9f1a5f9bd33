"""The options and the result of a run."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import attrs

from tests.chaos.history import History, Violation
from tests.chaos.task_history import TaskHistory

_LOSING: Final = ("memory:", "redis:everysec", "redis:sentinel")


@attrs.frozen(kw_only=True)
class Plan:
    """The options of a run.

    Args:
        folder: for the files of the server.
        rounds: maximum number of rounds.
        seed: of all random choices.
        log: of the server, ``memory:``, ``sqlite:PATH`` or one of Redis (:mod:`tests.chaos.redis_side`);
            ``{folder}`` in it is replaced.
        nodes: number of servers, more than one only for a log in Redis.
        durable: the log must lose nothing; None for every log that keeps all.
        kills: end after so many kills; None for no such end.
        part_rounds: number of rounds between two checks.
        fault: of the sabotaged log, see :mod:`tests.chaos.sabotaged`.
        rate: how often that fault occurs: once in so many times.
        only: names of the faults of the nemesis; empty for all.
        say: takes the lines of the report.
    """

    folder: Path
    rounds: int
    seed: int
    log: str = "memory:"
    nodes: int = 1
    durable: bool | None = None
    kills: int | None = None
    part_rounds: int = 25
    fault: str | None = None
    rate: int = 20
    only: Sequence[str] = ()
    say: Callable[[str], None] = lambda line: None

    @property
    def is_durable(self) -> bool:
        """True if the log must lose nothing."""
        return self.log not in _LOSING if self.durable is None else self.durable


@attrs.define
class Report:
    """The result of a run.

    Attributes:
        violations: each with its story.
        rounds, kills, events, maybe, deliveries, gaps, tasks: counts; ``maybe`` of events with an attempt of
            which no client knows the outcome.
        faults: counts by name.
        seconds: of the whole run.
    """

    violations: list[tuple[Violation, str]] = attrs.field(factory=list)
    rounds: int = 0
    kills: int = 0
    events: int = 0
    maybe: int = 0
    deliveries: int = 0
    gaps: int = 0
    tasks: int = 0
    faults: dict[str, int] = attrs.field(factory=dict)
    seconds: float = 0.0

    @property
    def kinds(self) -> set[str]:
        """The kinds of the violations."""
        return {violation.kind for violation, _ in self.violations}

    def count(self, history: History, tasks: Sequence[TaskHistory]) -> None:
        """Count what happened in one part."""
        sent = [sent for token, sent in history.sent.items() if token not in history.carried]
        self.events += len(sent)
        self.maybe += sum(1 for item in sent if item.unknown)
        self.deliveries += sum(len(reader.deliveries) for reader in history.readers)
        self.gaps += sum(len(reader.gaps) for reader in history.readers)
        self.tasks += len(tasks)

    def __str__(self) -> str:
        faults = ", ".join(f"{count} {name}" for name, count in sorted(self.faults.items()))
        return (
            f"{self.rounds} rounds ({faults}) with {self.kills} kills in {self.seconds:.0f} s:"
            f" {self.events} events, {self.maybe} of them with unknown attempts,"
            f" {self.deliveries} deliveries, {self.gaps} gaps, {self.tasks} tasks,"
            f" {len(self.violations)} violations"
        )
