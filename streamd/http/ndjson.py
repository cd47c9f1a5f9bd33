"""Publishing by NDJSON: one event a line, answered line by line, for as long as the client sends.

A body has no bound as a whole, so each part of the work has one: lines are read in groups, the time for which
a group is parsed is shared with all other requests (:func:`~streamd.time_slice.request_slice`), a line
that is wrong leaves its answer and no exception, and after a number of wrong lines the body ends.
"""

from codecs import BOM_UTF8
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, Final

import msgspec
import trio

from ..errors import (
    IdempotencyConflict,
    InvalidBody,
    OutcomeUnknown,
    StreamdError,
    TooLarge,
    TooManyErrors,
    Unauthorized,
    Unavailable,
)
from ..events import Draft
from ..events.bodies import decode_draft, draft_steps
from ..json import is_large
from ..time_slice import TimeSlice, request_slice
from ..turns import request_turns
from .problems import problem_fields
from .publishing import PublishingDoor

_LINES_MAX: Final = 256  # of one group: they are published in one step, and answered in one part

_Problem = dict[str, Any]
"""The members of the problem that a line is answered with."""
_Outcome = Draft | _Problem | None
"""The event of a line, or its problem; None for a blank one, which has a number but gets no answer."""


async def read_lines(body: AsyncIterator[bytes], max_line_bytes: int) -> AsyncGenerator[list[bytes], None]:
    """Yield the lines that each part of a body completes, without their line ends, at most 256 at a time.

    A byte order mark before the first line is dropped.
    A line longer than ``max_line_bytes`` is cut to one byte more than that and its rest is discarded, so that
    the caller can reject the line and continue.
    """
    kept_bytes = max_line_bytes + 1
    begun = bytearray()  # of the line whose end has not arrived
    start: bytes | None = b""  # of the body, while it may become a byte order mark
    async for received in body:
        part = received
        if start is not None:
            part = start + part
            start = part if BOM_UTF8.startswith(part) and part != BOM_UTF8 else None
            if start is not None:
                continue
            part = part.removeprefix(BOM_UTF8)
        while True:
            *lines, part = part.split(b"\n", _LINES_MAX)
            if lines:
                begun += lines[0][: kept_bytes - len(begun)]
                lines[0] = bytes(begun)
                begun.clear()
                yield [line[:kept_bytes] for line in lines]
            if len(lines) < _LINES_MAX:
                break
        begun += part[: kept_bytes - len(begun)]
    if start or begun:
        yield [start or bytes(begun)]


class LinePublisher:
    """Publishes the lines of one body, and answers each.

    Args:
        door: publishes for the caller, who was identified.
        max_errors: maximum number of wrong lines, after which the body ends.
        time_slice: the time for which lines are parsed before other trio tasks run; None for that which all
            requests share.
    """

    def __init__(self, door: PublishingDoor, max_errors: int, *, time_slice: TimeSlice | None = None) -> None:
        self._door = door
        self._max_errors = max_errors
        self._slice = time_slice or request_slice()
        self._number = 0  # of the last line that was read
        self._errors = 0  # wrong lines so far
        self._busy: Unavailable | None = None  # later lines are rejected, too: a retry must not reorder them

    async def answer(self, body: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        """Publish each line of a body, and yield the answers. Lines that arrive together are a group.

        No more of the body is read before an answer was sent, or while a group waits for the caller's limits,
        which pushes back. A body that cannot be read to its end has an error as its last answer.
        """
        try:
            async with aclosing(read_lines(body, self._door.limits.max_line_bytes)) as groups:
                async for lines in groups:
                    text = await self._answer_group(lines)
                    if text:
                        yield text
                    if self._errors >= self._max_errors:
                        break
                    await trio.lowlevel.checkpoint()
                else:
                    return
        except InvalidBody as error:
            yield self._encode(self._number + 1, error=problem_fields(error))
            return
        ended = TooManyErrors(
            f"{self._errors} lines were wrong: nothing was published of the body from line "
            f"{self._number + 1} on",
            field="line",
        )
        yield self._encode(self._number + 1, error=problem_fields(ended))

    async def _answer_group(self, lines: list[bytes]) -> bytes:
        """Publish a group of lines, and return their answers."""
        number = self._number
        outcomes = await self._read_group(lines)
        del lines[len(outcomes) :]
        count = sum(outcome is not None for outcome in outcomes)
        try:
            await self._door.wait_for_limits(count, sum(map(len, lines)) + len(lines))
            if any(isinstance(outcome, Draft) for outcome in outcomes):
                self._door.check_caller()  # its token may have been revoked while the lines waited
        except (Unavailable, Unauthorized) as error:
            self._reject_drafts(outcomes, error)
        answers = await self._publish(outcomes)
        self._number = number + len(lines)
        return b"".join(
            self._encode(number + index, **answer)
            for index, answer in enumerate(answers, start=1)
            if answer is not None
        )

    async def _read_group(self, lines: list[bytes]) -> list[_Outcome]:
        """Decode and check lines up to the last wrong one that is allowed; others have their turn between."""
        barred = self._find_bar()
        outcomes: list[_Outcome] = []
        for line in lines:
            outcome = barred or await self._read_line(line) if line.strip() else None
            outcomes.append(outcome)
            if isinstance(outcome, dict):
                self._errors += 1
                if self._errors >= self._max_errors:
                    break
            await self._slice.pause()
        return outcomes

    def _find_bar(self) -> _Problem | None:
        """Return the problem of a caller that may publish nothing any more: its lines are not decoded."""
        try:
            self._door.check_caller()
        except Unauthorized as error:
            return problem_fields(error)
        return None

    async def _read_line(self, line: bytes) -> Draft | _Problem:
        limits = self._door.limits
        try:
            if len(line) > limits.max_line_bytes:
                raise TooLarge(f"the line is longer than {limits.max_line_bytes} bytes", field="line")
            if is_large(line):
                draft = await request_turns().run(draft_steps(line, limits, noun="the line"))
            else:
                draft = decode_draft(line, limits, noun="the line")
            self._door.check(draft)
            return draft
        except StreamdError as error:
            return problem_fields(error)

    def _reject_drafts(self, outcomes: list[_Outcome], error: StreamdError) -> None:
        """Replace drafts by an error, which after a temporary one is that of all later lines, too."""
        if isinstance(error, Unavailable):
            self._busy = error
        elif isinstance(error, OutcomeUnknown):
            self._busy = Unavailable(
                "it is not known whether an earlier line was published: this one was not",
                retry_after_seconds=1,
            )
        problem = problem_fields(error)
        outcomes[:] = [problem if isinstance(outcome, Draft) else outcome for outcome in outcomes]

    async def _publish(self, outcomes: list[_Outcome]) -> list[dict[str, Any] | None]:
        """Publish the drafts among the outcomes together; one by one after an idempotency conflict."""
        if self._busy is not None:
            self._reject_drafts(outcomes, self._busy)
        drafts = [outcome for outcome in outcomes if isinstance(outcome, Draft)]
        results: list[dict[str, Any]] = []
        try:
            if drafts:  # a log that takes nothing refuses an empty list as well
                results = [{"id": receipt.id} for receipt in await self._door.publish(drafts)]
        except IdempotencyConflict:
            results = [await self._publish_alone(draft) for draft in drafts]
        except (Unavailable, OutcomeUnknown, Unauthorized) as error:
            self._reject_drafts(outcomes, error)
        published = iter(results)
        return [
            next(published) if isinstance(outcome, Draft) else None if outcome is None else {"error": outcome}
            for outcome in outcomes
        ]

    async def _publish_alone(self, draft: Draft) -> dict[str, Any]:
        try:
            [receipt] = await self._door.publish([draft])
        except StreamdError as error:
            self._errors += isinstance(error, IdempotencyConflict)
            return {"error": problem_fields(error)}
        return {"id": receipt.id}

    @staticmethod
    def _encode(number: int, **answer: Any) -> bytes:
        return msgspec.json.encode({"line": number, **answer}) + b"\n"
