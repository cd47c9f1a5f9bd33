"""A daemon of multiprocessing that computes, as a worker of the command ``hypercorn`` does."""

import multiprocessing
import os
from multiprocessing.connection import Connection

import trio

from streamd.computing.computer import LARGE_BYTES, Computer
from streamd.computing.processes import WorkerProcesses
from streamd.computing.settings import ComputingSettings
from tests.support.computations import process_id


def compute_in_daemon() -> str:
    """Run a large computation in a daemon of multiprocessing; return where it ran."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    daemon = context.Process(target=_compute, args=(theirs,), daemon=True)
    daemon.start()
    theirs.close()
    found: str = ours.recv()
    daemon.join()
    return found


def _compute(answer: Connection) -> None:
    trio.run(_compute_in_pool, answer)


async def _compute_in_pool(answer: Connection) -> None:
    processes = WorkerProcesses(ComputingSettings())
    async with trio.open_nursery() as nursery:
        await nursery.start(processes.serve)
        computed_in = await Computer("texts", processes).run(LARGE_BYTES, process_id)
        answer.send("in the daemon" if computed_in == os.getpid() else "elsewhere")
        nursery.cancel_scope.cancel()
