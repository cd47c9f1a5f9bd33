"""The job of one analysis: share of voice, sentiment and terms, in slices of mentions in a worker thread."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, TypeVar

import msgspec
import trio

from ...events import format_time
from ...tasks import Progress, StepPlan, StepProgress, WorkFailed
from ...text import load_vader, score_text
from .folding import prepare
from .models import Analysis, Mention
from .names import Matcher, NameMatches
from .settings import BrandMonitorSettings
from .terms import Terms, words_of
from .tone import Tone
from .voice import Voice

_TERMS_MAX: Final = 30  # in a result: as many as a page shows
KIND: Final = "brand-monitor"
STEPS: Final = (
    # Weights by the measured time of the steps.
    StepPlan("share_of_voice", 1.0),
    StepPlan("sentiment", 3.0),
    StepPlan("terms", 3.0),
)

T = TypeVar("T")


class AnalysisJob:
    """The job of any analysis.

    Worker threads compute slices of mentions. Between two slices the job reports its progress, and a
    cancelled or overdue task ends. Cancelling abandons the current slice, because a single mention may take
    seconds; the thread keeps its slot until the slice is done.

    Args:
        settings: limits and slice sizes.
    """

    def __init__(self, settings: BrandMonitorSettings) -> None:
        self._settings: Final = settings
        self._limiter: Final = trio.CapacityLimiter(settings.threads)

    async def __call__(self, progress: Progress) -> dict[str, Any]:
        """Analyse the mentions in a task's input and return the result.

        Raises:
            WorkFailed: the input is no analysis.
        """
        analysis = await self._compute(partial(_decode, progress.raw_input))
        names, mentions = [analysis.brand, *analysis.competitors], analysis.mentions
        found, voice = await self._count_names(progress, names, mentions)
        of_brand = [index for index, matches in enumerate(found) if 0 in matches.counts]
        tone = await self._score(progress, [mentions[index] for index in of_brand])
        everywhere, with_brand = await self._count_terms(progress, mentions, found)

        def summarize() -> dict[str, Any]:
            times = [mention.time for mention in mentions]
            return {
                "brand": names[0],
                "competitors": names[1:],
                "period": {"from": format_time(min(times)), "to": format_time(max(times))} if times else None,
                "mentions": {"total": voice.total, "brand": len(of_brand), "nobody": voice.nobody},
                "shareOfVoice": voice.table(),
                "sentiment": tone.tables(),
                "terms": {
                    "brand": with_brand.tables(_TERMS_MAX),
                    "all": everywhere.tables(_TERMS_MAX),
                },
            }

        return await self._compute(summarize)

    async def _count_names(
        self, progress: Progress, names: Sequence[str], mentions: Sequence[Mention]
    ) -> tuple[list[NameMatches], Voice]:
        found: list[NameMatches] = []
        voice = Voice(names)
        async with progress.step("share_of_voice", message="Looking for who is named") as step:
            matcher = await self._compute(partial(Matcher, names))

            def count(mention: Mention) -> None:
                found.append(matcher.find(mention.text))
                voice.add(found[-1])

            await self._each(step, mentions, count, "Looked for names in {} of {} mentions")
        return found, voice

    async def _score(self, progress: Progress, mentions: Sequence[Mention]) -> Tone:
        tone = Tone(score_text)
        async with progress.step("sentiment", message="Scoring what is said of the brand") as step:
            if not mentions:
                await step.skip("No mention names the brand")
                return tone
            await load_vader()
            await self._each(step, mentions, tone.add, "Scored {} of {} mentions of the brand")
        return tone

    async def _count_terms(
        self, progress: Progress, mentions: Sequence[Mention], found: Sequence[NameMatches]
    ) -> tuple[Terms, Terms]:
        everywhere, with_brand = Terms(), Terms()

        def count(pair: tuple[Mention, NameMatches]) -> None:
            mention, matches = pair
            words = list(words_of(prepare(mention.text), matches.spans))
            everywhere.add(words)
            if 0 in matches.counts:
                with_brand.add(words)

        async with progress.step("terms", message="Counting words") as step:
            pairs = list(zip(mentions, found, strict=True))
            await self._each(step, pairs, count, "Counted the words of {} of {} mentions")
        return everywhere, with_brand

    async def _each(
        self, step: StepProgress, items: Sequence[T], do: Callable[[T], None], message: str
    ) -> None:
        """Apply a function to each item, slice by slice, and report the progress of the step."""
        done = 0
        while done < len(items):
            done = await self._compute(partial(self._do_slice, items, do, done))
            await step.update(100.0 * done / len(items), message.format(f"{done:,}", f"{len(items):,}"))

    def _do_slice(self, items: Sequence[T], do: Callable[[T], None], begin: int) -> int:
        """Compute one slice, bounded by items and time, but at least one item. Runs in a worker thread."""
        stop = min(len(items), begin + self._settings.slice_mentions)
        until = time.perf_counter() + self._settings.slice_seconds
        for index in range(begin, stop):
            do(items[index])
            if time.perf_counter() >= until:
                return index + 1
        return stop

    async def _compute(self, do: Callable[[], T]) -> T:
        return await trio.to_thread.run_sync(do, limiter=self._limiter, abandon_on_cancel=True)


def _decode(raw_input: bytes) -> Analysis:
    """Decode the input of a task. A task that was not created by this service's route may have any input."""
    try:
        return msgspec.json.decode(raw_input, type=Analysis)
    except msgspec.DecodeError as error:
        raise WorkFailed(
            "there is nothing to analyse; ask for the analysis again", code="nothing-waits"
        ) from error
