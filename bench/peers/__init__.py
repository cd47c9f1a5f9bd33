"""The measured servers, one module each; their applications are in `apps/`."""

from .base import Ability, Peer, Running, Sample, Setup
from .better_sse import BetterSSE
from .floor import Floor
from .hypercorn import Hypercorn
from .nchan import Nchan
from .redis import NchanRedis, StreamdRedis
from .sse_starlette import SSEStarlette
from .streamd import Streamd, StreamdASGI, StreamdSQLite, StreamdToken, StreamdView

__all__ = [
    "PEERS",
    "Ability",
    "Peer",
    "Running",
    "Sample",
    "Setup",
    "Streamd",
    "StreamdSQLite",
    "StreamdView",
]

# In the order of the rows.
PEERS: tuple[Peer, ...] = (
    Streamd(),
    StreamdToken(),
    StreamdSQLite(),
    StreamdRedis(),
    StreamdASGI(),
    Floor(),
    Nchan(),
    NchanRedis(),
    SSEStarlette(),
    BetterSSE(),
    Hypercorn(),
)
