"""A server with tasks whose work a test controls, one action at a time."""

import os
import pty
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import attrs
import trio

from streamd.app import create_app
from streamd.connections.settings import ConnectionSettings
from streamd.http.current import EXTENSION
from streamd.server.settings import ServerSettings
from streamd.settings import Settings
from streamd.tasks import Kind, Message, Progress, Publication, Status, StepPlan, Task, Tasks, WorkFailed
from streamd.testing import RunningServer, run_server
from tests.support.program import Program, started_on

QUICKLY = Settings(connections=ConnectionSettings(retry_ms=100), server=ServerSettings(drain_seconds=0.1))

Step = Callable[[Progress], Awaitable[Any]]


class Job:
    """One task of a local kind, whose next action the test chooses."""

    def __init__(self, tasks: Tasks, task_id: str) -> None:
        self.id = task_id
        self._tasks = tasks
        self._steps, self._work = trio.open_memory_channel[tuple[Step, trio.Event]](0)

    async def do(self, step: Step) -> None:
        """Let the work perform an action, and wait until it is done."""
        done = trio.Event()
        await self._steps.send((step, done))
        await done.wait()

    async def update(self, **fields: Any) -> None:
        await self.do(lambda progress: progress.update(**fields))

    async def complete(self, result: Any) -> None:
        async def end(_: Progress) -> Any:
            raise _Return(result)

        await self.do(end)
        await self.ended()

    async def fail(self, detail: str, code: str = "failed") -> None:
        async def end(_: Progress) -> Any:
            raise WorkFailed(detail, code=code)

        await self.do(end)
        await self.ended()

    async def ended(self) -> Task:
        """Wait until the end is stored, which follows the return of the work and is announced by nothing."""
        while not (task := await self._tasks.get(self.id)).status.ended:  # noqa: ASYNC110
            await trio.sleep(0.005)
        return task

    async def work(self, progress: Progress) -> Any:
        async for step, done in self._work:
            try:
                await step(progress)
            except _Return as result:
                return result.value
            finally:
                done.set()
        return None


class _Return(Exception):
    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value


@attrs.frozen
class TasksServer:
    """A server with the kinds `job`, `odd` and `mute`; the latter two have shapes of their own."""

    server: RunningServer
    works: dict[str, Job]

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def tasks(self) -> Tasks:
        return self.server.streamd.tasks

    async def job(
        self, *, id: str | None = None, kind: str = "job", steps: tuple[str, ...] = (), owner: str = ""
    ) -> Job:
        """Create a task, which starts at once."""
        job = Job(self.tasks, id or f"task{len(self.works)}")
        self.works[job.id] = job
        await self.tasks.create(kind, id=job.id, steps=[StepPlan(name) for name in steps], owner=owner)
        return job


@asynccontextmanager
async def tasks_server(settings: Settings = QUICKLY) -> AsyncIterator[TasksServer]:
    """Run a server while the block lasts."""
    works: dict[str, Job] = {}

    async def work(progress: Progress) -> Any:
        return await works[progress.id].work(progress)

    app = create_app(settings)
    tasks = app.extensions[EXTENSION].tasks
    tasks.register(Kind(name="job", work=work))
    tasks.register(Kind(name="odd", work=work, present=_oddly))
    tasks.register(Kind(name="mute", work=work, present=_mutely))
    async with run_server(settings, app=app) as server:
        yield TasksServer(server, works)


@asynccontextmanager
async def restartable(settings: Settings) -> AsyncIterator["Restartable"]:
    """Make a server that can be stopped and started again on its port while the block lasts."""
    async with trio.open_nursery() as nursery:
        yield Restartable(settings, nursery)
        nursery.cancel_scope.cancel()


class Restartable:
    """A server that :func:`restartable` makes; it does not run yet."""

    def __init__(self, settings: Settings, nursery: trio.Nursery) -> None:
        self._settings = settings
        self._nursery = nursery
        self._bind = "127.0.0.1:0"
        self._stop = trio.Event()
        self._ended = trio.Event()

    async def start(self) -> RunningServer:
        """Start the server, again on the port that it had."""
        server: RunningServer = await self._nursery.start(self._run)
        self._bind = f"127.0.0.1:{server.port}"
        return server

    async def stop(self) -> None:
        """Shut the server down gracefully, as SIGTERM does, and wait until it has stopped."""
        self._stop.set()
        await self._ended.wait()

    async def _run(self, task_status: trio.TaskStatus[RunningServer]) -> None:
        self._stop, self._ended = trio.Event(), trio.Event()
        async with run_server(self._settings, bind=self._bind) as server:
            task_status.started(server)
            await self._stop.wait()
            server.stop()
        self._ended.set()


def _mutely(task: Task, message: Message) -> list[Publication]:
    """Publish nothing but the version."""
    return [Publication((task.topic,), Message("note", {"n": task.version}))]


def _oddly(task: Task, message: Message) -> list[Publication]:
    """Publish few fields, without version and snapshot; the last message has the type `progress` too."""
    names = ("status", "progress", "step_name", "message")
    data = {name: message.data[name] for name in names}
    if task.status is Status.COMPLETED:
        data |= {"result": "see the result", "message": "all of it"}
    return [Publication((task.topic,), Message("progress", data))]


class Terminal:
    """A terminal of 100 columns, and the text shown on it."""

    def __init__(self, ours: int) -> None:
        self.shown = ""
        self._ours = ours

    async def until(self, text: str) -> str:
        """Wait for a text, and return the text shown before it, since the one waited for last."""
        while text not in self.shown:
            data = await self._read()
            assert data, f"the program has ended; the terminal shows {self.shown!r}"
            self.shown += data
        before, _, self.shown = self.shown.partition(text)
        return before

    async def rest(self) -> str:
        """Return the rest of the text, up to the end of the program."""
        while data := await self._read():
            self.shown += data
        return self.shown

    async def _read(self) -> str:
        await trio.lowlevel.wait_readable(self._ours)
        try:
            return os.read(self._ours, 65_536).decode(errors="replace")
        except OSError:  # EIO: no program has it open
            return ""


@asynccontextmanager
async def started_on_terminal(*arguments: str, **variables: str) -> AsyncIterator[tuple[Program, Terminal]]:
    """Run a command with a terminal as its standard streams while the block lasts."""
    size = {"COLUMNS": "100", "LINES": "40", **variables}
    ours, theirs = pty.openpty()
    try:
        async with started_on(
            *arguments, stdin=theirs, stdout=theirs, stderr=theirs, variables=size
        ) as program:
            os.close(theirs)
            yield program, Terminal(ours)
    finally:
        os.close(ours)
