"""The delay of a steady subscriber while others come and go: ``python -m bench.churn``.

Events are published in arrays at a fixed rate. One client stays; others subscribe to the same topic, half of
them from the earliest event on, read for less than a second, and leave. The delays of the client that stays
are printed.
"""

import multiprocessing
import random
import time
from typing import Final

import click
import trio

from .clients import Clients, Outcome
from .load import Load
from .peers import Running
from .peers.streamd import Streamd
from .publisher import TOPIC
from .scenarios.base import setup_for

_EVENTS_AN_ARRAY: Final = 60
_STAY_SECONDS: Final = (0.1, 1.0)
_READ_BYTES: Final = 262_144
_END_SECONDS: Final = 5.0


async def _come_and_go(host: str, port: int, seed: int) -> None:
    """Subscribe, read and leave until cancelled."""
    dice = random.Random(seed)
    while True:
        stream = await trio.open_tcp_stream(host, port)
        async with stream:
            start = dice.choice(["", "&last_event_id=earliest"])
            await stream.send_all(
                f"GET /events?topic={TOPIC}{start} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
            )
            with trio.move_on_after(dice.uniform(*_STAY_SECONDS)):
                while await stream.receive_some(_READ_BYTES):
                    pass


def _churn(host: str, port: int, clients: int) -> None:
    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for seed in range(clients):
                nursery.start_soon(_come_and_go, host, port, seed)

    trio.run(main)


def _publish(server: Running, steady: Clients, load: Load) -> Outcome:
    """Publish at the load's rate, and return what the steady client received."""
    with server.publisher(load.deadline_seconds) as publisher:
        began = time.monotonic()
        for first in range(0, load.events, _EVENTS_AN_ARRAY):
            time.sleep(max(0.0, began + first / load.rate - time.monotonic()))
            numbers = range(first, min(first + _EVENTS_AN_ARRAY, load.events))
            publisher.publish_array(numbers, payload_bytes=load.payload_bytes)
        return steady.done()


@click.command()
@click.option("--events", type=click.IntRange(min=2), default=500_000, show_default=True, help="Number.")
@click.option(
    "--rate", type=click.FloatRange(min=1), default=6000.0, show_default=True, help="Events a second."
)
@click.option(
    "--churning", type=click.IntRange(min=0), default=20, show_default=True, help="Clients that leave."
)
def main(events: int, rate: float, churning: int) -> None:
    """Measure the delay of a steady subscriber while others come and go."""
    load = Load(clients=1, events=events, rate=rate)
    with Streamd().start(setup_for(Load(clients=churning + 2))) as server, Clients(server, load) as steady:
        steady.connected()
        process = multiprocessing.get_context("spawn").Process(
            target=_churn, args=(server.host, server.port, churning), daemon=True
        )
        process.start()
        try:
            used, began = server.sample().cpu_seconds, time.monotonic()
            outcome = _publish(server, steady, load)
            seconds = time.monotonic() - began
            share = (server.sample().cpu_seconds - used) / seconds
        finally:
            process.terminate()
            process.join(_END_SECONDS)
    p50, p99, largest = (ns / 1e6 for ns in (outcome.p50_ns, outcome.p99_ns, outcome.max_ns))
    print(
        f"{events / seconds:,.0f} events/s while {churning} clients come and go: p50 {p50:.1f} ms,"
        f" p99 {p99:.1f} ms, max {largest:.0f} ms; CPU of the server {share:.0%};"
        f" missing {outcome.missing}, repeated {outcome.repeated}, disordered {outcome.disordered}"
    )


if __name__ == "__main__":
    main()
