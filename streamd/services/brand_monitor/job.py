"""The job of one analysis: share of voice, sentiment and terms, part by part, and its progress."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, TypeVar, TypeVarTuple

import attrs

from ...computing.computer import Computer
from ...errors import InvalidBody, TooLarge, Unavailable
from ...json import EncodedJson
from ...steps import Steps
from ...tasks import Progress, StepPlan, StepProgress, WorkFailed
from .analysis import Part, count_terms, cut, find_names, score_mentions, summarize
from .settings import BrandMonitorSettings

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

KIND: Final = "brand-monitor"
STEPS: Final = (
    # Weights by the measured time of the steps.
    StepPlan("share_of_voice", 1.0),
    StepPlan("sentiment", 3.0),
    StepPlan("terms", 3.0),
)


@attrs.frozen
class AnalysisJob:
    """The job of any analysis.

    Args:
        settings: the size of a part.
        computer: computes the parts.
    """

    settings: BrandMonitorSettings
    computer: Computer

    async def __call__(self, progress: Progress) -> EncodedJson:
        """Analyse the mentions in a task's input and return the result.

        Cancelling ends the computation of the present part.

        Raises:
            WorkFailed: the input is no analysis, or it cannot be computed.
        """
        size = len(progress.raw_input)  # also that of its parts: all are computed at the same place
        analysis = await self._compute(size, cut, progress.raw_input, self.settings.slice_mentions)
        find, parts = partial(find_names, analysis.names), analysis.parts
        analysis = attrs.evolve(analysis, parts=[])
        async with progress.step("share_of_voice", message="Looking for who is named") as step:
            named = await self._each(size, step, parts, find, "Looked for names in {} of {} mentions")
        del parts
        of_brand = [part.of_brand for part in named if part.of_brand.count]
        async with progress.step("sentiment", message="Scoring what is said of the brand") as step:
            if not of_brand:
                await step.skip("No mention names the brand")
            scored = "Scored {} of {} mentions of the brand"
            tones = await self._each(size, step, of_brand, score_mentions, scored)
        found = [part.found for part in named]
        async with progress.step("terms", message="Counting words") as step:
            counted = "Counted the words of {} of {} mentions"
            terms = await self._each(size, step, found, count_terms, counted)
        voices = [part.voice for part in named]
        return EncodedJson(await self._compute(size, summarize, analysis, voices, tones, terms))

    async def _each(
        self,
        size: int,
        step: StepProgress,
        parts: Sequence[Part],
        computation: Callable[[Part], Steps[T]],
        message: str,
    ) -> list[T]:
        """Run a computation on each part, and report the progress of the step after it.

        Args:
            message: the sentence to report; it has two ``{}``, for the number of mentions done and of all.
        """
        results = []
        done, total = 0, sum(part.count for part in parts)
        for part in parts:
            results.append(await self._compute(size, computation, part))
            done += part.count
            await step.update(100.0 * done / total, message.format(f"{done:,}", f"{total:,}"))
        return results

    async def _compute(self, size: int, computation: Callable[[*Ts], Steps[T]], *args: *Ts) -> T:
        try:
            return await self.computer.run(size, computation, *args)
        except InvalidBody as error:  # a task that was not created by this service's route has any input
            raise WorkFailed(
                "there is nothing to analyse; ask for the analysis again", code="nothing-waits"
            ) from error
        except (TooLarge, Unavailable) as error:
            raise WorkFailed(error.detail, code=error.code) from error
