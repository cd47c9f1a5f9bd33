"""The services in ``conf/examples``, run as the README says, with requests over real sockets."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import apsw
import httpx

from tests.support.messages import read_to_end
from tests.support.program import started

ROOT = Path(__file__).parent.parent.parent
EXAMPLES = ROOT / "conf" / "examples"
ROWS = 250


@asynccontextmanager
async def example(app: str, store: Path) -> AsyncIterator[httpx.AsyncClient]:
    path = f"{EXAMPLES}:{ROOT}"
    arguments = ("serve", "--bind", "127.0.0.1:0", "--store", f"sqlite:{store}", "--app", app)
    async with started(*arguments, PYTHONPATH=path) as program:
        url = (await program.line()).split()[-1]
        async with httpx.AsyncClient(base_url=url) as client:
            yield client


async def follow(client: httpx.AsyncClient, import_id: str) -> list[tuple[str, dict[str, Any]]]:
    url = str(client.base_url).rstrip("/")
    messages = await read_to_end(url, f"/imports/{import_id}/events")
    return [(message.type, message.data) for message in messages]


async def test_csv_import_stores_every_row_and_streams_its_steps(tmp_path: Path) -> None:
    store = tmp_path / "streamd.db"
    body = "name,price\n" + "".join(f"mug {number},{number}\n" for number in range(ROWS))
    async with example("csv_import:make", store) as client:
        accepted = await client.post("/imports", content=body.encode())
        assert accepted.status_code == 202
        import_id = accepted.json()["id"]
        assert accepted.headers["location"] == f"/imports/{import_id}"
        events = await follow(client, import_id)
        type, last = events[-1]
        assert (type, last["result"]) == ("complete", {"rows": ROWS})
        progress = [data["progress"] for _, data in events]
        assert progress == sorted(progress)
        assert (await client.get(f"/imports/{import_id}/result")).json() == {"rows": ROWS}
        assert (await client.post(f"/imports/{import_id}/cancel")).status_code == 409
        assert (await client.get("/imports/unknown")).status_code == 404
    database = apsw.Connection(str(store), flags=apsw.SQLITE_OPEN_READONLY)
    assert database.execute("SELECT count(*) FROM imported_rows").get == ROWS


async def test_csv_import_without_rows_fails_with_its_code(tmp_path: Path) -> None:
    async with example("csv_import:make", tmp_path / "streamd.db") as client:
        accepted = await client.post("/imports", content=b"name,price\n")
        type, last = (await follow(client, accepted.json()["id"]))[-1]
        assert (type, last["code"]) == ("error", "no-rows")
        assert (await client.get(f"/imports/{last['taskId']}/result")).status_code == 409


async def test_csv_import_sent_again_is_one_import(tmp_path: Path) -> None:
    key = {"Idempotency-Key": "k"}
    async with example("csv_import:make", tmp_path / "streamd.db") as client:
        first, again = [await client.post("/imports", content=b"name\nmug\n", headers=key) for _ in range(2)]
        assert (first.status_code, again.status_code) == (202, 202)
        assert again.json()["id"] == first.json()["id"]
        other = await client.post("/imports", content=b"name\ncup\n", headers=key)
        assert (other.status_code, other.json()["field"]) == (409, "Idempotency-Key")
