"""The figures of an attack, the limits that they must keep, and the table."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import attrs

from tests.hostile.beside import Times
from tests.hostile.steps import Longest

STEP_SECONDS_MAX: Final = 0.020
PASS_SECONDS_MAX: Final = 0.050
LATENCY_SECONDS_MAX: Final = 0.100  # of p99 above its own before the attack
HEALTH_SECONDS_MAX: Final = 1.0  # p99 of a health check on a new connection: probes give up after a second
GROWTH_MAX: Final = 0.10  # of the memory's peak, when the attack is repeated
LINES_PER_SECOND_MAX: Final = 500.0  # a few kinds of lines at 100 a second each


@attrs.frozen
class Phase:
    """The figures of a phase: before an attack, during it, or after it.

    Args:
        seconds: its duration.
        latency: of the normal subscriber.
        health: of ``/health/live`` on new connections.
        step, loop_pass: the longest of the event loop.
        peak_bytes: of resident memory.
        files_peak: of open descriptors.
        cpu_seconds: of the process.
        lines: of the log.
        waited_seconds: how long the event loop's thread and the harness waited for a core.
    """

    seconds: float
    latency: Times
    health: Times
    step: Longest
    loop_pass: Longest
    peak_bytes: int
    files_peak: int
    cpu_seconds: float
    lines: int
    waited_seconds: float


@attrs.frozen
class Row:
    """An attack's phases: before, twice during, and after.

    Args:
        ran: the functions that the log's lines about slow passes name most often.
        problem: the harness could not finish: the server ended, or the attacker failed.
    """

    name: str
    kind: str
    before: Phase
    during: Sequence[Phase]
    after: Phase
    ran: str = ""
    problem: str = ""

    @property
    def latency(self) -> Times:
        """The subscriber's latency in both rounds."""
        return Times(
            [value for phase in self.during for value in phase.latency.values],
            sum(phase.latency.failed for phase in self.during),
        )

    @property
    def health(self) -> Times:
        """The probes in both rounds."""
        return Times(
            [value for phase in self.during for value in phase.health.values],
            sum(phase.health.failed for phase in self.during),
        )

    @property
    def step(self) -> Longest:
        """The longest step in both rounds and after them."""
        return max((phase.step for phase in (*self.during, self.after)), key=lambda each: each.seconds)

    @property
    def loop_pass(self) -> Longest:
        """The longest pass in both rounds and after them."""
        return max((phase.loop_pass for phase in (*self.during, self.after)), key=lambda each: each.seconds)

    @property
    def growth(self) -> float:
        """The share by which the repetition raised the peak of memory."""
        first, last = self.during[0].peak_bytes, self.during[-1].peak_bytes
        return last / first - 1 if first else 0.0

    @property
    def lines_per_second(self) -> float:
        """Lines of the log."""
        return sum(phase.lines for phase in self.during) / sum(phase.seconds for phase in self.during)

    @property
    def cpu_share(self) -> float:
        """CPU time of the process, in cores."""
        return sum(phase.cpu_seconds for phase in self.during) / sum(phase.seconds for phase in self.during)

    @property
    def waited_share(self) -> float:
        """Time in which the event loop's thread or the harness waited for a core, in shares of the whole.

        The latency of a machine that is busy with something else is not the server's.
        """
        return sum(phase.waited_seconds for phase in self.during) / sum(
            phase.seconds for phase in self.during
        )

    @property
    def files_peak(self) -> int:
        """Open descriptors at most."""
        return max(phase.files_peak for phase in self.during)

    @property
    def broken(self) -> list[str]:
        """The names of the limits that do not hold."""
        if self.problem:
            return [self.problem]
        added = self.latency.quantile(0.99) - self.before.latency.quantile(0.99)
        checks = {
            "step": self.step.seconds <= STEP_SECONDS_MAX,
            "pass": self.loop_pass.seconds <= PASS_SECONDS_MAX,
            "p99": added <= LATENCY_SECONDS_MAX,
            "lost": not self.latency.failed,
            "health": self.health.quantile(0.99) <= HEALTH_SECONDS_MAX and not self.health.failed,
            "memory": self.growth < GROWTH_MAX,
            "log": self.lines_per_second <= LINES_PER_SECOND_MAX,
        }
        return [name for name, holds in checks.items() if not holds]


HEADINGS: Final = (
    "attack",
    "step",
    "pass",
    "before",
    "during p50",
    "p99",
    "max",
    "after",
    "health p99",
    "memory 1st",
    "growth",
    "files",
    "CPU",
    "waits",
    "lines/s",
    "does not hold",
)


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f}" if seconds < 0.01 else f"{seconds * 1000:,.0f}"


def _failed(times: Times, text: str) -> str:
    return f"{text} ({times.failed} failed)" if times.failed else text


def cells(row: Row) -> list[str]:
    """Return the cells of a row, in the order of the headings."""
    latency, health = row.latency, row.health
    return [
        row.name,
        _ms(row.step.seconds),
        _ms(row.loop_pass.seconds),
        _ms(row.before.latency.quantile(0.99)),
        _ms(latency.quantile(0.5)),
        _failed(latency, _ms(latency.quantile(0.99))),
        _ms(latency.quantile(1)),
        _ms(row.after.latency.quantile(0.99)),
        _failed(health, _ms(health.quantile(0.99))),
        f"{row.during[0].peak_bytes / 1e6:,.0f}",
        f"{row.growth:+.0%}",
        f"{row.files_peak:,}",
        f"{row.cpu_share:.0%}",
        f"{row.waited_share:.0%}",
        f"{row.lines_per_second:,.0f}",
        ", ".join(row.broken) or "-",
    ]


def table(rows: Iterable[Row]) -> str:
    """Return all rows as a Markdown table, by kind, with the number of attacks that break no limit."""
    rows = list(rows)
    lines = [_line(HEADINGS), _line(["---", *["---:"] * (len(HEADINGS) - 2), "---"])]
    for kind in dict.fromkeys(row.kind for row in rows):
        lines.append(_line([f"**{kind}**", *[""] * (len(HEADINGS) - 1)]))
        lines += [_line(cells(row)) for row in rows if row.kind == kind]
    held = sum(not row.broken for row in rows)
    return "\n".join([*lines, "", f"All limits hold under {held} of {len(rows)} attacks."])


def _line(texts: Iterable[str]) -> str:
    return f"| {' | '.join(texts)} |"


def explain(rows: Iterable[Row]) -> str:
    """Return, for each attack under which a limit does not hold, the longest step and what ran."""
    lines = []
    for row in rows:
        if row.broken:
            ran = f"; slow passes ran {row.ran}" if row.ran else ""
            lines.append(f"- {row.name}: longest step in {row.step.task or 'none'}{ran}")
    return "\n".join(lines)


def as_json(row: Row) -> dict[str, Any]:
    """Return the row's cells by their headings, for a comparison of two runs."""
    return dict(zip(HEADINGS, cells(row), strict=True)) | {
        "kind": row.kind,
        "task": row.step.task,
        "ran": row.ran,
    }
