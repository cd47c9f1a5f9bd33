"""Follow a task to its end: the connection, and the display of its changes."""

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
"""The types of the standard last message; a kind may have its own."""


class TaskDisplay(Protocol):
    """Shows a followed task."""

    async def keep(self, scope: trio.CancelScope) -> None:
        """Refresh the display until cancelled; cancels ``scope`` when its reader is gone."""

    async def update(self, text: str) -> None:
        """Show a change of the task, with the new part of its text."""

    def say(self, notice: str) -> None:
        """Show a notice about the connection; an empty one when it is open again."""

    def hurry(self) -> None:
        """Limit the time of further output, before the command ends."""

    def close(self) -> None:
        """Finish the display. Nothing may be shown after that."""


class TaskWatch:
    """The command ``streamd tasks watch``: follows a task and shows it.

    Args:
        make_client: makes a client for the server of the task.
        task_id: the id of the task.
        text: whether to print the text that the task streams.
    """

    def __init__(self, make_client: Callable[[], TaskClient], task_id: str, *, text: bool) -> None:
        self._make_client = make_client
        self._task = FollowedTask(task_id)
        self._text = text
        self._display: TaskDisplay | None = None  # None until the first answer

    async def run(self) -> int:
        """Follow the task to its end; return 0 if it is completed, else 1."""
        client = self._make_client()
        self._task.take_task(await client.get(self._task.id), trio.current_time())
        make_display = TaskScreen if is_terminal() else TaskLines
        self._display = display = make_display(self._task, text=self._text)
        status = READER_GONE
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(display.keep, nursery.cancel_scope)
                try:
                    await _TaskFollower(client, self._task, display).run()
                    await display.update("")
                    status = 0 if self._task.status == "completed" else 1
                except BrokenPipeError:
                    pass  # the reader has closed the pipe
                nursery.cancel_scope.cancel()
        finally:
            display.close()
        return status

    def on_signal(self, number: signal.Signals) -> None:
        if self._display is not None:
            self._display.hurry()
            self._display.close()
        notice = f"interrupted; the task goes on, and is cancelled by: streamd tasks cancel {self._task.id}"
        StatusLine(str, live=False).error(notice)


@attrs.define(eq=False)
class _TaskFollower:
    """The stream of one task, over all its connections."""

    client: TaskClient
    task: FollowedTask
    display: TaskDisplay
    lost: bool = False  # whether the connection is lost

    async def run(self) -> None:
        """Show all messages, and make sure of the end of the task."""
        async with self.client.follow(self.task.id) as subscription:
            async for item in subscription:
                if await self._take(item):
                    return
        await self._settle()

    async def _take(self, item: Item) -> bool:
        """Take an item of the stream; return whether the task has ended."""
        match item:
            case ReceivedEvent(id=""):
                pass  # a message to this client alone, which says nothing of the task
            case ReceivedEvent():
                text = self.task.take_message(item.data, trio.current_time())
                await self.display.update(text)
                return item.type in LAST_TYPES and await self._is_over()
            case Connected() if self.lost:
                self.lost = False
                self.display.say("")
            case Reconnecting():
                # The last message of a kind may have a type of its own.
                if await self._is_over():
                    return True
                self.lost = True
                self.display.say(f"reconnecting in {item.delay_seconds:.1f} s: {item.reason}")
        return False

    async def _is_over(self) -> bool:
        """Ask the server whether the task has ended; a status in a message need not be the task's."""
        if not self.task.ended:
            return False
        try:
            self.task.take_task(await self.client.get(self.task.id), trio.current_time())
        except StreamdError as error:
            if not error.retryable:
                raise
        return self.task.ended

    async def _settle(self) -> None:
        """Ask for the end of the task after the end of its stream, with retries."""

        async def say(notice: RetryNotice) -> None:
            await trio.lowlevel.checkpoint()
            self.display.say(f"asking again in {notice.wait_seconds:.1f} s: {notice.failure}")

        task = await RetryLoop(policy=RetryPolicy(), on_retry=say).run(partial(self.client.get, self.task.id))
        self.task.take_task(task, trio.current_time())
        if not task.ended:
            raise ProtocolError(f"the server ended the stream of a task that is {task.status}")


class TaskLines:
    """Shows a followed task as lines, one for each change.

    Args:
        task: the followed task.
        text: print the text to standard output, and the lines to standard error.
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
