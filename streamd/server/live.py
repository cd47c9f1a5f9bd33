"""The connections there are."""

from typing import Generic, TypeVar

import trio

C = TypeVar("C")


class LiveConnections(set[C], Generic[C]):
    """Connections that are being served, and a way to wait until there are none."""

    def __init__(self) -> None:
        super().__init__()
        self._emptied = trio.Event()

    def leave(self, connection: C) -> None:
        self.discard(connection)
        if not self:
            self._emptied.set()

    async def wait_empty(self) -> None:
        while self:
            self._emptied = trio.Event()
            await self._emptied.wait()
