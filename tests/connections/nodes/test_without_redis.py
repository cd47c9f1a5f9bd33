"""A node without Redis: nothing is shared, and nothing of it is imported."""

import subprocess
import sys

from streamd.connections import LocalCensus
from streamd.runtime import Runtime, RuntimeSettings
from tests.support.program import environment

LIST_MODULES = """
import sys
from streamd import create_app
create_app()
print([name for name in sys.modules if name.startswith(("coredis", "streamd.connections.nodes"))])
"""


def test_nothing_of_other_nodes_is_imported() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIST_MODULES], env=environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


async def test_the_census_is_that_of_the_node() -> None:
    runtime = Runtime.create(RuntimeSettings())
    assert runtime.node is None
    assert isinstance(runtime.census, LocalCensus)
    assert (await runtime.census.list(10)).connections == []
