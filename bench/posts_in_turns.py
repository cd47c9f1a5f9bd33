"""Single POSTs on one connection, the peers taking turns of a second: ``python -m bench.posts_in_turns``.

The scenario ``posts`` measures one peer after another, each for seconds. Where other machines share the
cores, their load changes in between, and ratios of two peers differ by half from run to run. Here all peers
run at once, and one of them is measured at a time, so that each meets the same load. The medians and the best
of the rounds are printed: the best is that of a machine that nobody else used.
"""

import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import click

from .peers import Running
from .scenarios.base import setup_for
from .scenarios.posts import POSTS, post_by_wrk, write_script

_PEERS: Final = ("streamd", "nchan", "sse-starlette", "bare-trio")
_WARM_UP_SECONDS: Final = 3  # modules that are imported on first use, and a log that fills


@click.command()
@click.option(
    "--rounds", type=click.IntRange(min=1), default=15, show_default=True, help="Seconds of each peer."
)
@click.option(
    "--peer", "names", multiple=True, default=_PEERS, show_default=True, help="Peers of the scenario."
)
def main(rounds: int, names: tuple[str, ...]) -> None:
    """Measure single POSTs, the peers taking turns."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        servers: dict[str, tuple[Running, Path]] = {}
        for peer in POSTS.peers(names):
            script = write_script(folder / f"{peer.name}.lua", peer, POSTS.load.payload_bytes)
            servers[peer.name] = stack.enter_context(peer.start(setup_for(POSTS.load))), script
        for server, script in servers.values():
            post_by_wrk(server, script, 1, _WARM_UP_SECONDS)
        found: dict[str, list[dict[str, float]]] = {name: [] for name in servers}
        for _ in range(rounds):
            for name, (server, script) in servers.items():
                found[name].append(post_by_wrk(server, script, 1, 1))
    for name, figures in found.items():
        rates = [each["rate"] for each in figures]
        costs = [each["cpu_us"] for each in figures]
        print(
            f"{name:16} {statistics.median(rates):8,.0f}/s, best {max(rates):8,.0f}/s;"
            f" CPU {statistics.median(costs):6.0f} µs, least {min(costs):6.0f} µs"
        )


if __name__ == "__main__":
    main()
