"""The work: share of voice, sentiment and terms, in slices of mentions in a thread."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, TypeVar

import trio

from ...events import format_time
from ...tasks import Progress, StepPlan, StepProgress, WorkFailed
from ...text import load_vader, score_text
from .folding import prepare
from .names import Matcher, NameMatches
from .requests import Mention, Wanted, unpack
from .settings import BrandMonitorSettings
from .terms import Terms, words_of
from .tone import Tone
from .voice import Voice
from .waiting import WaitingRoom

KIND: Final = "brand-monitor"
STEPS: Final = (
    # Weights as the stages were seen to take time.
    StepPlan("share_of_voice", 1.0),
    StepPlan("sentiment", 3.0),
    StepPlan("terms", 3.0),
)

T = TypeVar("T")


class Analyst:
    """Analyses mentions, some at a time.

    The computing is done in threads, in slices: between two slices progress is told, and a task that was
    cancelled or took too long ends. Cancelled, the slice under way is not waited for, since one mention alone
    may take seconds, nor is what it makes looked at; it keeps its place among the threads until it is done.

    Args:
        waiting: where analyses wait for their tasks.
        settings: bounds.
    """

    def __init__(self, waiting: WaitingRoom, settings: BrandMonitorSettings) -> None:
        self._waiting: Final = waiting
        self._settings: Final = settings
        self._limiter: Final = trio.CapacityLimiter(settings.threads)

    async def work(self, progress: Progress) -> dict[str, Any]:
        """Analyse what waits for a task; the result as JSON.

        Raises:
            WorkFailed: nothing waits for it.
        """
        wanted = await self._fetch(progress.input)
        names, mentions = [wanted.brand, *wanted.competitors], wanted.mentions
        found, voice = await self._count_names(progress, names, mentions)
        of_brand = [place for place, names_found in enumerate(found) if 0 in names_found.counts]
        tone = await self._score(progress, [mentions[place] for place in of_brand])
        everywhere, with_brand = await self._count_terms(progress, mentions, found)

        def sum_up() -> dict[str, Any]:
            times = [mention.time for mention in mentions]
            return {
                "brand": names[0],
                "competitors": names[1:],
                "period": {"from": format_time(min(times)), "to": format_time(max(times))} if times else None,
                "mentions": {"total": voice.total, "brand": len(of_brand), "nobody": voice.nobody},
                "shareOfVoice": voice.table(),
                "sentiment": tone.tables(),
                "terms": {
                    "brand": with_brand.tables(self._settings.max_terms),
                    "all": everywhere.tables(self._settings.max_terms),
                },
            }

        return await self._compute(sum_up)

    async def _fetch(self, input: Any) -> Wanted:
        # A task of this kind may also have been made by another way than this service's own.
        handle = input.get("handle") if isinstance(input, dict) else None
        packed = await self._waiting.take(handle) if isinstance(handle, str) else None
        if packed is None:
            raise WorkFailed("there is nothing to analyse; ask for the analysis again", code="nothing-waits")
        return await self._compute(partial(unpack, packed))

    async def _count_names(
        self, progress: Progress, names: Sequence[str], mentions: Sequence[Mention]
    ) -> tuple[list[NameMatches], Voice]:
        found: list[NameMatches] = []
        voice = Voice(names)
        async with progress.step("share_of_voice", message="Looking for who is named") as step:
            matcher = await self._compute(partial(Matcher, names))

            def look_at(mention: Mention) -> None:
                found.append(matcher.find(mention.text))
                voice.add(found[-1])

            await self._each(step, mentions, look_at, "Looked for names in {} of {} mentions")
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

        def look_at(pair: tuple[Mention, NameMatches]) -> None:
            mention, names_found = pair
            words = list(words_of(prepare(mention.text), names_found.spans))
            everywhere.add(words)
            if 0 in names_found.counts:
                with_brand.add(words)

        async with progress.step("terms", message="Counting words") as step:
            pairs = list(zip(mentions, found, strict=True))
            await self._each(step, pairs, look_at, "Counted the words of {} of {} mentions")
        return everywhere, with_brand

    async def _each(
        self, step: StepProgress, items: Sequence[T], do: Callable[[T], None], message: str
    ) -> None:
        """Do something with each item, slice by slice, and say how far it is."""
        done = 0
        while done < len(items):
            done = await self._compute(partial(self._do_slice, items, do, done))
            await step.update(100.0 * done / len(items), message.format(f"{done:,}", f"{len(items):,}"))

    def _do_slice(self, items: Sequence[T], do: Callable[[T], None], begin: int) -> int:
        """In a thread: up to so many items, or so many as there is time for, but one at least."""
        stop = min(len(items), begin + self._settings.slice_mentions)
        until = time.perf_counter() + self._settings.slice_seconds
        for place in range(begin, stop):
            do(items[place])
            if time.perf_counter() >= until:
                return place + 1
        return stop

    async def _compute(self, do: Callable[[], T]) -> T:
        return await trio.to_thread.run_sync(do, limiter=self._limiter, abandon_on_cancel=True)
