"""A service in one file: store the rows of a CSV file, and let everyone follow the import.

Run it:     streamd serve --app csv_import:make --bind 127.0.0.1:8081
Use it:     curl -s --data-binary @rows.csv http://127.0.0.1:8081/imports
Follow it:  curl -sN http://127.0.0.1:8081/imports/ID/events
"""

import csv
import io
import json
from functools import partial

import apsw
from quart import Blueprint
from quart_trio import QuartTrio
from quart_trio.wrappers import TrioResponse

from streamd import Service, Settings, Streamd
from streamd.http import idempotency_key, read_body, task_routes
from streamd.tasks import Kind, Progress, StepPlan, WorkFailed

KIND = "csv-import"
TABLE = "CREATE TABLE imported_rows (import_id TEXT NOT NULL, data TEXT NOT NULL)"
BATCH_ROWS = 100


def insert(batch: list[tuple[str, str]], db: apsw.Connection) -> None:
    """Insert some rows, in the transaction that the database has opened."""
    db.executemany("INSERT INTO imported_rows VALUES (?, ?)", batch)


def make_service(streamd: Streamd) -> Service:
    """Build the service: one task kind, the routes of its tasks, and the route that starts one."""
    blueprint = Blueprint("imports", __name__)
    routes = task_routes(blueprint, KIND, "/imports/<import_id>", noun="import")
    streamd.database.require("csv_import", [TABLE])

    @blueprint.post("/imports")
    async def start_import() -> TrioResponse:
        text = (await read_body()).decode("utf-8-sig", errors="replace")
        steps = [StepPlan("read"), StepPlan("store", weight=4)]
        key = idempotency_key()
        task = await streamd.tasks.create(KIND, input=text, steps=steps, idempotency_key=key)
        return await routes.accepted(task)

    async def import_rows(progress: Progress) -> dict[str, int]:
        """Run one import. Each step and update is stored, and sent to every follower."""
        async with progress.step("read", message="Reading the file") as step:
            rows = list(csv.DictReader(io.StringIO(progress.input)))
            if not rows:
                raise WorkFailed("the file has no rows below its header", code="no-rows")
            await step.update(100, f"{len(rows)} rows found")
        async with progress.step("store", message="Storing the rows") as step:
            for start in range(0, len(rows), BATCH_ROWS):
                batch = [(progress.id, json.dumps(row)) for row in rows[start : start + BATCH_ROWS]]
                await streamd.database.write(partial(insert, batch))
                stored = start + len(batch)
                await step.update(100 * stored / len(rows), f"{stored} of {len(rows)} rows stored")
        return {"rows": len(rows)}

    return Service(blueprint, kinds=[Kind(name=KIND, work=import_rows, private=True)])


def make(settings: Settings) -> QuartTrio:
    """Build the application from the settings that ``streamd serve`` read."""
    app = QuartTrio(__name__)
    streamd = Streamd(app, settings=settings)
    streamd.add(make_service(streamd))
    return app
