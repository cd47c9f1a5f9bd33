"""Following a task to its end: the connection, and who shows what it brings."""

import signal
from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

import attrs
import trio

from ..client import Connected, Item, ProtocolError, ReceivedEvent, Reconnecting
from ..client.tasks import TaskClient
from ..errors import StreamdError
from ..outbound import RetryLoop, RetryNotice, RetryPolicy
from .live import StatusLine
from .output import CommandOutput
from .task_screen import TaskScreen, is_terminal
from .task_state import FollowedTask

READER_GONE: Final = 128 + signal.SIGPIPE
LAST_TYPES: Final = frozenset({"complete", "error"})
"""Types of a task's standard last message; kinds may have their own."""


class TaskDisplay(Protocol):
    """Shows a task."""

    async def keep(self, scope: trio.CancelScope) -> None:
        """Keep what is shown fresh, until cancelled; cancels ``scope`` when nobody looks any more."""

    async def update(self, text: str) -> None:
        """Something has changed, and the task's text is longer by ``text``."""

    def say(self, notice: str) -> None:
        """Something about the connection; empty: all is well with it."""

    def hurry(self) -> None:
        """We have to leave."""

    def close(self) -> None:
        """Leave what is shown in order; nothing is shown after it."""


class TaskWatch:
    """Follows a task.

    Args:
        make_client: makes the client of the server where it is.
        task_id: of the task.
        text: whether to show the text that it streams, too.
    """

    def __init__(self, make_client: Callable[[], TaskClient], task_id: str, *, text: bool) -> None:
        self._make_client = make_client
        self._task = FollowedTask(task_id)
        self._text = text
        self._view: TaskDisplay | None = None  # until there is something to show

    async def run(self) -> int:
        """Follow it to its end; 0 when it is completed, else 1."""
        client = self._make_client()
        self._task.take_task(await client.get(self._task.id), trio.current_time())
        make_view = TaskScreen if is_terminal() else TaskLines
        self._view = view = make_view(self._task, text=self._text)
        status = READER_GONE
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(view.keep, nursery.cancel_scope)
                try:
                    await _TaskFollower(client, self._task, view).run()
                    await view.update("")
                    status = 0 if self._task.status == "completed" else 1
                except BrokenPipeError:
                    pass  # whoever read us has had enough
                nursery.cancel_scope.cancel()
        finally:
            view.close()
        return status

    def on_signal(self, number: signal.Signals) -> None:
        if self._view is not None:
            self._view.hurry()
            self._view.close()
        notice = f"interrupted; the task goes on, and ends by: streamd tasks cancel {self._task.id}"
        StatusLine(str, live=False).error(notice)


@attrs.define(eq=False)
class _TaskFollower:
    """One task's stream, over all its connections."""

    client: TaskClient
    task: FollowedTask
    view: TaskDisplay
    lost: bool = False  # whether there is no connection just now

    async def run(self) -> None:
        """Show all messages to the last; then it is known how the task has ended."""
        async with self.client.follow(self.task.id) as subscription:
            async for item in subscription:
                if await self._take(item):
                    return
        await self._settle()

    async def _take(self, item: Item) -> bool:
        """Take what the stream brings; whether the task is over."""
        match item:
            case ReceivedEvent():
                text = self.task.take_message(item.data, trio.current_time())
                await self.view.update(text)
                return item.type in LAST_TYPES and await self._is_over()
            case Connected() if self.lost:
                self.lost = False
                self.view.say("")
            case Reconnecting():
                # Messages of a shape of their own may end without a type that says so.
                if await self._is_over():
                    return True
                self.lost = True
                self.view.say(f"reconnecting in {item.delay_seconds:.1f} s: {item.reason}")
        return False

    async def _is_over(self) -> bool:
        """Whether the task has ended; a message that says so need not mean the task."""
        if not self.task.ended:
            return False
        try:
            self.task.take_task(await self.client.get(self.task.id), trio.current_time())
        except StreamdError as error:
            if not error.retryable:
                raise
        return self.task.ended

    async def _settle(self) -> None:
        """The server has no more to say: ask how the task has ended, until it tells."""

        async def say(notice: RetryNotice) -> None:
            await trio.lowlevel.checkpoint()
            self.view.say(f"asking again in {notice.wait_seconds:.1f} s: {notice.failure}")

        task = await RetryLoop(policy=RetryPolicy(), on_retry=say).run(partial(self.client.get, self.task.id))
        self.task.take_task(task, trio.current_time())
        if not task.ended:
            raise ProtocolError(f"the server ended the stream of a task that is {task.status}")


class TaskLines:
    """Writes a line for each message that says something new.

    Args:
        task: what is shown.
        text: the task's text on standard output, and the lines on standard error.
    """

    def __init__(self, task: FollowedTask, *, text: bool) -> None:
        self._task = task
        self._text = text
        self._output = CommandOutput()
        self._status = StatusLine(str, live=False)
        self._last_line = ""
        self._last_note = ""

    async def keep(self, scope: trio.CancelScope) -> None:
        await self._output.reader_gone()
        scope.cancel()

    async def update(self, text: str) -> None:
        line = self._task.line(trio.current_time())
        lines = [line] if line != self._last_line else []
        if self._task.note != self._last_note:
            lines.append(f"          {self._task.note}")
        self._last_line, self._last_note = line, self._task.note
        if self._text:
            for line in lines:
                self._status.notice(line)
            await self._output.write(text.encode(), lambda: None)
        elif lines:
            await self._output.write("".join(line + "\n" for line in lines).encode(), lambda: None)

    def say(self, notice: str) -> None:
        self._status.notice(notice or "connected again")

    def hurry(self) -> None:
        self._output.hurry()

    def close(self) -> None:
        pass
