"""Large orders of a server: worker processes read them, and end with it."""

import signal

import httpx
import psutil
import pytest

from streamd.computing.computer import LARGE_BYTES
from tests.support.server_process import ServerProcess, server_process
from tests.support.waiting import until

LINES = 900
SMALL = "sku,qty\nA-1,1\n"
LARGE = "\n".join(f"{number} x Blue Mug (BM-{number}) @ 4.50 EUR" for number in range(1, LINES + 1))
assert len(LARGE) > LARGE_BYTES


async def complete(server: ServerProcess, text: str, media_type: str) -> dict[str, object]:
    """Send an order, and return it when it has ended."""
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as http:
        headers = {"Content-Type": media_type}
        answer = await http.post("/api/purchase-orders?merchantId=acme", content=text, headers=headers)
        assert answer.status_code == 202, answer.text
        order = answer.json()
        (await http.get(f"/tasks/{order['workflowId']}/events")).raise_for_status()
        stored: dict[str, object] = (await http.get(order["statusUrl"])).json()
        return stored


def children(server: ServerProcess) -> list[psutil.Process]:
    return psutil.Process(server.program.process.pid).children(recursive=True)


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
async def test_processes_read_large_orders_and_end_with_the_server(end: signal.Signals) -> None:
    async with server_process(seconds=110) as server:
        assert (await complete(server, SMALL, "text/csv"))["status"] == "completed"
        assert not children(server), "a small order starts no process"
        order = await complete(server, LARGE, "text/plain")
        assert order["status"] == "completed"
        lines = order["lines"]
        assert isinstance(lines, list)
        assert len(lines) == LINES
        started = children(server)
        assert started
        server.program.signal(end)
        assert await server.exit_status(30) == (0 if end == signal.SIGTERM else -signal.SIGKILL)
    await until(lambda: not any(process.is_running() for process in started))
