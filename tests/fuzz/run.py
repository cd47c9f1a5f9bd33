"""One run: a process for each target, and the outcome of each."""

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import attrs
import trio

from tests.fuzz.target import Target

_STEP_SECONDS_MAX: Final = 20  # by the wall clock: a step that hangs; see also `Target.take`
_MEMORY_MB_MAX: Final = 1024
_GRACE_SECONDS: Final = 60  # after the time of a process, for its start and its end
_STEPS: Final = re.compile(rb"^stat::number_of_executed_units: *(\d+)", re.MULTILINE)
_SKIPPED: Final = (b"INFO:", b"WARNING:")  # of the start
_REPORT_LINES: Final = 40


@attrs.frozen
class Outcome:
    """The result of one target.

    Args:
        name: of the target.
        steps: number of inputs that were tried.
        seconds: how long.
        inputs: those that failed; empty also if the process ended with an error before the first.
        report: the end of the process's output if it failed; empty otherwise.
    """

    name: str
    steps: int
    seconds: float
    inputs: tuple[Path, ...] = ()
    report: str = ""

    @property
    def is_failure(self) -> bool:
        """True if an input failed, or the process did."""
        return bool(self.report)


async def fuzz(name: str, target: Target, seconds: int, folder: Path) -> Outcome:
    """Fuzz one target in a process of its own. Cancelling ends the process.

    Args:
        name: of the target.
        target: the target.
        seconds: how long (s).
        folder: keeps the corpus, and in ``findings`` the inputs that failed.
    """
    corpus, findings = folder / "corpus" / name, folder / "findings" / name
    for each in (corpus, findings):
        each.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds):
        (corpus / f"seed-{number:02}").write_bytes(seed)
    words = folder / "corpus" / f"{name}.dict"
    words.write_text("".join(f'"{_escape(word)}"\n' for word in target.words))
    before = _contents(findings)
    began = trio.current_time()
    output, status = await _run(
        [
            *(sys.executable, "-m", "tests.fuzz.child", name),
            f"-max_total_time={seconds}",
            f"-max_len={target.max_bytes}",
            f"-timeout={_STEP_SECONDS_MAX}",
            f"-rss_limit_mb={_MEMORY_MB_MAX}",
            *([f"-dict={words}"] if target.words else []),
            f"-artifact_prefix={findings}/",
            "-print_final_stats=1",
            str(corpus),
        ],
        seconds + _GRACE_SECONDS,
    )
    found = _STEPS.search(output)
    kept = tuple(sorted(findings / new for new, _ in _contents(findings) - before))
    if kept or status or found is None:
        report = _end_of(output) or f"the process ended with status {status}"
    else:
        report = ""
    return Outcome(name, int(found[1]) if found else 0, trio.current_time() - began, kept, report)


async def _run(command: Sequence[str], seconds: float) -> tuple[bytes, int | None]:
    """Return the output of a command, and its status; None if it had to be killed."""
    output = bytearray()
    process = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert process.stdout is not None
    try:
        with trio.move_on_after(seconds):
            async for part in process.stdout:
                output += part
            return bytes(output), await process.wait()
        return bytes(output), None
    finally:
        process.kill()


def _contents(findings: Path) -> set[tuple[str, int]]:
    """Return the files of a folder with their times (ns), since an input may fail again."""
    return {(each.name, each.stat().st_mtime_ns) for each in findings.iterdir()}


def _escape(word: bytes) -> str:
    """Write a word as a dictionary of libFuzzer has it."""
    return "".join(
        chr(byte) if 0x20 <= byte < 0x7F and byte not in b'"\\' else f"\\x{byte:02x}" for byte in word
    )


def _end_of(output: bytes) -> str:
    lines = [line for line in output.splitlines() if not line.startswith(_SKIPPED)]
    return b"\n".join(lines[-_REPORT_LINES:]).decode(errors="replace")
