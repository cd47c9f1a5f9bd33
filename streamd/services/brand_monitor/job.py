"""The job of one analysis: share of voice, sentiment and terms, in slices of mentions in a worker thread."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import msgspec
import trio

from ...events import format_time
from ...tasks import Progress, Slices, StepPlan, WorkFailed
from ...text import load_vader, score_in_steps
from ...turns import run_with_pauses
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


class AnalysisJob:
    """The job of any analysis.

    Args:
        settings: limits and slice sizes.
    """

    def __init__(self, settings: BrandMonitorSettings) -> None:
        self._slices: Final = Slices(
            trio.CapacityLimiter(settings.threads), settings.slice_mentions, settings.slice_seconds
        )

    async def __call__(self, progress: Progress) -> dict[str, Any]:
        """Analyse the mentions in a task's input and return the result.

        Raises:
            WorkFailed: the input is no analysis.
        """
        analysis = await self._slices.compute(partial(_decode, progress.raw_input))
        names, mentions = [analysis.brand, *analysis.competitors], analysis.mentions
        found, voice = await self._count_names(progress, names, mentions)
        of_brand = [index for index, matches in enumerate(found) if 0 in matches.counts]
        tone = await self._score(progress, [mentions[index] for index in of_brand])
        everywhere, with_brand = await self._count_terms(progress, found)

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

        return await self._slices.compute(summarize)

    async def _count_names(
        self, progress: Progress, names: Sequence[str], mentions: Sequence[Mention]
    ) -> tuple[list[NameMatches], Voice]:
        found: list[NameMatches] = []
        voice = Voice(names)
        async with progress.step("share_of_voice", message="Looking for who is named") as step:
            matcher = await self._slices.compute(partial(Matcher, names))

            def count(mention: Mention) -> None:
                found.append(matcher.find(mention.text))
                voice.add(found[-1])

            await self._slices.each(step, mentions, count, "Looked for names in {} of {} mentions")
        return found, voice

    async def _score(self, progress: Progress, mentions: Sequence[Mention]) -> Tone:
        tone = Tone(lambda text: run_with_pauses(score_in_steps(text)))
        async with progress.step("sentiment", message="Scoring what is said of the brand") as step:
            if not mentions:
                await step.skip("No mention names the brand")
                return tone
            await load_vader()
            await self._slices.each(step, mentions, tone.add, "Scored {} of {} mentions of the brand")
        return tone

    async def _count_terms(self, progress: Progress, found: Sequence[NameMatches]) -> tuple[Terms, Terms]:
        everywhere, with_brand = Terms(), Terms()

        def count(matches: NameMatches) -> None:
            words = list(words_of(matches.text, matches.spans))
            everywhere.add(words)
            if 0 in matches.counts:
                with_brand.add(words)

        async with progress.step("terms", message="Counting words") as step:
            await self._slices.each(step, found, count, "Counted the words of {} of {} mentions")
        return everywhere, with_brand


def _decode(raw_input: bytes) -> Analysis:
    """Decode the input of a task. A task that was not created by this service's route may have any input."""
    try:
        return msgspec.json.decode(raw_input, type=Analysis)
    except msgspec.DecodeError as error:
        raise WorkFailed(
            "there is nothing to analyse; ask for the analysis again", code="nothing-waits"
        ) from error
