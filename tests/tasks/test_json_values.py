"""The values of programs that run tasks: each is within the profile of JSON, on every store."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import attrs
import msgspec
import pytest

from streamd.errors import InvalidField
from streamd.events import UnloggedEvent
from streamd.json import EncodedJson
from streamd.tasks import Kind, Message, Progress, Publication, Task
from tests.support.json_texts import nested
from tests.support.task_rig import Rig, SetClock, check_rejected, run_rig
from tests.support.task_stores import STORES

DEEP: dict[str, Any] = msgspec.json.decode(nested(65, objects=True))
DEEPEST: dict[str, Any] = msgspec.json.decode(nested(64, objects=True))
TWICE = {1: "as a number", "1": "as a text"}

Act = Callable[[Progress], Awaitable[Any]]


async def update(progress: Progress) -> None:
    await progress.update(deep=DEEP["x"])


async def educate(progress: Progress) -> None:
    await progress.educate(DEEP["x"])


async def update_step(progress: Progress) -> None:
    async with progress.step("one") as step:
        await step.update(50, deep=DEEP["x"])


async def complete_step(progress: Progress) -> None:
    async with progress.step("one") as step:
        step.complete(deep=DEEP["x"])


async def repeat_a_name(progress: Progress) -> None:
    await progress.update(twice=TWICE)


async def return_deep(progress: Progress) -> Any:
    return DEEP


async def return_half_a_pair(progress: Progress) -> Any:
    return {"text": "\ud800"}


@pytest.fixture(params=STORES)
async def rig(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Rig]:
    acts = {
        "update": update,
        "educate": educate,
        "update_step": update_step,
        "complete_step": complete_step,
        "repeat_a_name": repeat_a_name,
        "return_deep": return_deep,
        "return_half_a_pair": return_half_a_pair,
    }
    async with STORES[request.param](tmp_path) as store:
        kinds = [Kind(name=name, work=work) for name, work in acts.items()]
        async with run_rig(store=store, now=SetClock(), kinds=[*kinds, PRESENTED, ENCODED]) as made:
            yield made


@pytest.mark.parametrize(
    "kind", ["update", "educate", "update_step", "complete_step", "repeat_a_name", "return_deep"]
)
async def test_work_with_a_value_outside_of_the_profile_fails(rig: Rig, kind: str) -> None:
    task = await rig.tasks.create(kind)
    ended = await rig.ended(task.id)
    assert ended.status == "failed"
    assert ended.details == {}


async def test_the_reason_is_in_the_task_if_it_is_the_result(rig: Rig) -> None:
    deep, half = await rig.tasks.create("return_deep"), await rig.tasks.create("return_half_a_pair")
    assert (await rig.ended(deep.id)).message == "result is nested deeper than 64 levels"
    assert (
        await rig.ended(half.id)
    ).message == "result has half of a surrogate pair, which UTF-8 cannot encode"


async def test_inputs_outside_of_the_profile_are_refused(rig: Rig) -> None:
    await check_rejected(InvalidField, "input", lambda: rig.tasks.create("remote", input=DEEP))
    await check_rejected(InvalidField, 'input["1"]', lambda: rig.tasks.create("remote", input=TWICE))
    task = await rig.tasks.create("remote", input=DEEPEST)
    assert await rig.tasks.input(task.id) == DEEPEST


def present_deep(task: Task, message: Message) -> list[Publication]:
    return [Publication((task.topic,), attrs.evolve(message, data={"deep": [[[[[[[[[DEEP]]]]]]]]]}))]


PRESENTED = Kind(name="presented", present=present_deep)


async def test_a_kind_that_presents_too_many_levels_publishes_the_standard_message(rig: Rig) -> None:
    task = await rig.tasks.create("presented")
    await rig.until(task.id, lambda event: True)
    assert (await rig.data_of(task.id))[0]["status"] == "pending"


async def return_encoded(progress: Progress) -> EncodedJson:
    return EncodedJson(b'{"n": 1.50}')


ENCODED = Kind(name="encoded", work=return_encoded)


async def test_a_result_may_be_encoded_already(rig: Rig) -> None:
    task = await rig.tasks.create("encoded")
    await rig.ended(task.id)
    assert await rig.tasks.result(task.id) == {"n": 1.5}


def test_an_event_for_one_client_is_checked_when_it_is_made() -> None:
    for data in (DEEP, TWICE, "\ud800", msgspec.Raw(b"NaN")):
        with pytest.raises(InvalidField, match=r"^data"):
            UnloggedEvent(data)
    event = UnloggedEvent(msgspec.Raw(b'{"n": 1.50}'), type="t", id='"', retry_ms=5)
    assert event.json == b'{"id":"\\"","topics":[],"type":"t","data":{"n":1.50},"retry":5}'
    assert event.sse == b'event: t\nretry: 5\ndata: {"n":1.50}\nid: "\n\n'
