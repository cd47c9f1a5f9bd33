"""The measured servers, one module each; their applications are in `apps/`."""

from .bare_trio import BareTrio
from .base import Ability, Peer, Running, Sample, Setup
from .better_sse import BetterSSE
from .floor import Floor
from .hypercorn import Hypercorn
from .nchan import Nchan
from .redis import NchanRedis, StreamdRedis
from .sse_starlette import SSEStarlette
from .streamd import Streamd, StreamdASGI, StreamdOther, StreamdSQLite, StreamdToken, StreamdView

__all__ = [
    "LOGGED_PEERS",
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
    StreamdOther(),
    Floor(),
    BareTrio(),
    Nchan(),
    NchanRedis(),
    SSEStarlette(),
    BetterSSE(),
    Hypercorn(),
)

# The other way round than in `PEERS`: streamd logs its requests there, and the others do not.
LOGGED_PEERS: tuple[Peer, ...] = (
    Streamd("streamd-unlogged", {"STREAMD_LOGGING__LEVEL": "warning"}),
    Nchan(logs_requests=True),
    SSEStarlette(logs_requests=True),
)
