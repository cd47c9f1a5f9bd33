"""The connections that are being served."""

from typing import Generic, TypeVar

import trio

C = TypeVar("C")


class LiveConnections(set[C], Generic[C]):
    """The set of connections that are being served, which can be waited on until it is empty."""

    def __init__(self) -> None:
        super().__init__()
        self._emptied = trio.Event()

    def leave(self, connection: C) -> None:
        """Remove a connection."""
        self.discard(connection)
        if not self:
            self._emptied.set()

    async def wait_empty(self) -> None:
        """Wait until no connection is left."""
        while self:
            self._emptied = trio.Event()
            await self._emptied.wait()
