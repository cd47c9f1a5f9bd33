"""Work with steps, run to its end, and a record of the messages about them."""

from collections.abc import Awaitable, Callable
from typing import Any

from streamd.tasks import Cause, Kind, Message, Progress, Publication, StepFailed, StepPlan, Task
from tests.support.task_rig import Rig, check_history, run_rig

Work = Callable[[Progress], Awaitable[Any]]


class Recorder:
    """A kind's ``present`` that records the cause and the changed steps of each message."""

    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] = []

    def __call__(self, task: Task, message: Message) -> list[Publication]:
        if message.cause is not Cause.SNAPSHOT:
            steps = [(step.name, step.status.value, step.progress) for step in message.steps]
            self.heard.append((message.cause.value, *steps))
        return [Publication((task.topic,), message)]


async def perform(work: Work, steps: tuple[StepPlan, ...] = (), **kind: Any) -> tuple[Rig, Task]:
    """Run one task's work to its end."""
    async with run_rig(kinds=[Kind(name="local", work=work, **kind)]) as rig:
        await rig.tasks.create("local", id="t", steps=steps)
        task = await rig.ended("t")
        check_history(await rig.published("t"), "t")
        return rig, task


def lose(why: str) -> None:
    """Fail the enclosing step."""
    raise StepFailed(why)


def statuses(task: Task) -> dict[str, str]:
    return {step.name: step.status.value for step in task.steps}


async def steps_said(rig: Rig) -> list[tuple[str, str, float]]:
    """Return name, status and progress of the step in each message about one."""
    return [
        (data["step_name"], data["step_status"], data["step_progress"])
        for data in await rig.data_of("t")
        if "step_status" in data
    ]
