"""Text that arrives in small pieces, in few events."""

from typing import Any

import trio
import trio.testing

from streamd.tasks import Progress, TextStream
from tests.support.step_work import perform


async def test_pieces_are_collected_for_the_interval(autojump_clock: trio.testing.MockClock) -> None:
    async def work(progress: Progress) -> None:
        stream = TextStream(progress, 1.0)
        for piece in "abcdef":
            await stream.add(piece)
            await trio.sleep(0.4)
        assert stream.text == "abcdef"
        await stream.flush()
        await stream.flush()

    rig, _ = await perform(work)
    sent = [data["text_delta"] for data in await rig.data_of("t") if "text_delta" in data]
    assert sent == ["a", "bcd", "ef"]


async def test_each_event_is_described(autojump_clock: trio.testing.MockClock) -> None:
    def describe(text: str) -> dict[str, Any]:
        return {"progress": 5.0 * len(text), "step": "writing"}

    async def work(progress: Progress) -> None:
        stream = TextStream(progress, 0)
        await stream.add("first ")
        stream.describe = describe
        await stream.add("second")

    rig, _ = await perform(work)
    said = [data for data in await rig.data_of("t") if "text_delta" in data]
    assert [(data["progress"], data["step_name"]) for data in said] == [(0, ""), (60, "writing")]
