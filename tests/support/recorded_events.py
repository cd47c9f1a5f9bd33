"""The events that the log of :mod:`.orders_app` has recorded, and the events that it must have recorded."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import attrs
import msgspec

from streamd.tasks.publisher import PUBLISHER

COMPLETION_FIELDS = ("lineItems", "confidence", "purchaseOrderId", "shopifyOrderId")
LAST_STAGE = "status_update"
ENDS_FROM_OUTSIDE = ("cancelled", "stalled", "timeout")


class Row(NamedTuple):
    """The identity of a row of the outbox: part 0 is the event on the task's own topic."""

    task: str
    version: int
    part: int


@attrs.frozen
class Event:
    """The content of an event."""

    topics: tuple[str, ...]
    type: str
    data: dict[str, Any]


@attrs.frozen
class Recorded:
    """An event that the log took.

    Attributes:
        process: number of the process, from 0.
        row: of the outbox; None for an event that was published directly.
    """

    process: int
    row: Row | None
    event: Event


def read_record(path: Path) -> list[Recorded]:
    """Read all events, in the order in which the log took them."""
    recorded: list[Recorded] = []
    process = -1
    lines = path.read_bytes().split(b"\n")
    for line, following in zip(lines, [*lines[1:], b""], strict=True):
        try:
            fields = msgspec.json.decode(line) if line else None
        except msgspec.DecodeError:
            assert following.startswith(b'{"process"'), "only the last write of a process can be cut off"
            continue
        if fields is None:
            continue
        if "process" in fields:
            process += 1
            continue
        event = Event(tuple(fields["topics"]), fields["type"], fields["data"])
        row = parse_key(fields["key"]) if fields["publisher"] == PUBLISHER else None
        recorded.append(Recorded(process, row, event))
    return recorded


def parse_key(key: str) -> Row:
    """Parse the idempotency key of a row: ``task:version`` or ``task:version:part``."""
    task, version, *part = key.split(":")
    return Row(task, int(version), int(part[0]) if part else 0)


def derive(task_id: str, merchant: str, messages: Sequence[Event]) -> Iterator[tuple[Row, Event]]:
    """Derive the merchant's events of a task, with their rows, from the messages of all its versions."""
    states: dict[str, str] = {}
    for version, message in enumerate(messages, 1):
        events = _derive(message, f"po-{task_id}", task_id, states)
        for part, (type, data) in enumerate(events, 1):
            yield Row(task_id, version, part), Event((f"merchant:{merchant}:{type}",), type, data)


def _derive(
    message: Event, po_id: str, task_id: str, states: dict[str, str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    data = message.data
    stage: str = data["step_name"]
    ids = {"stage": stage, "poId": po_id, "workflowId": task_id}
    before, state = states.get(stage), data.get("step_status")
    if state is not None:
        states[stage] = state
    match state:
        case "running" if before is None:
            yield "stage", ids | {"status": "started", "message": data["message"]}
        case "running":
            yield "progress", ids | {"progress": data["step_progress"], "message": data["message"]}
        case "completed":
            yield "completion", ids | {name: data[name] for name in COMPLETION_FIELDS if name in data}
        case "skipped":
            yield "progress", ids | {"progress": 100, "message": f"Skipped: {data['message']}"}
            yield "completion", ids
        case "failed":
            yield "error", ids | {"error": data["step_error"]}
        case _ if message.type != "error" or states.get(LAST_STAGE) == "completed":
            pass  # the order has ended, whatever ends its task
        case _ if before != "failed" or data["code"] in ENDS_FROM_OUTSIDE:
            yield "error", ids | {"stage": stage or "merchant_config", "error": data["error"]}


def check_task(
    task_id: str, merchant: str, version: int, recorded: Sequence[Recorded], pending: Sequence[set[Row]]
) -> int:
    """Check that the events of a task are complete, in order, and repeated only where a kill allows it.

    Args:
        task_id, merchant, version: the task, at its last version.
        recorded: its events.
        pending: for each process that was killed, the rows that were not marked published.

    Returns:
        The number of repeated events.
    """
    first: dict[Row, Event] = {}
    last_process: dict[Row, int] = {}
    newest: dict[int, Row] = {}  # by process
    for entry in recorded:
        row = entry.row
        assert row is not None
        assert newest.get(entry.process, Row("", 0, 0))[1:] < row[1:], f"{row} is out of order"
        newest[entry.process] = row
        if row in first:
            assert entry.event == first[row], f"{row} was repeated with other content"
            between = range(last_process[row], entry.process)
            assert all(row in pending[process] for process in between), f"{row} was repeated without reason"
        first.setdefault(row, entry.event)
        last_process[row] = entry.process
    assert list(first) == sorted(first), "the order of the events is not that of the versions"
    missing = [number for number in range(1, version + 1) if Row(task_id, number, 0) not in first]
    assert not missing, f"task {task_id}: the messages of versions {missing} of {version} are lost"
    messages = [first[Row(task_id, number, 0)] for number in range(1, version + 1)]
    expected = dict(derive(task_id, merchant, messages))
    lost = expected.keys() - first.keys()
    assert not lost, f"merchant events are lost: {sorted(lost)}"
    assert {row: event for row, event in first.items() if row.part} == expected
    return len(recorded) - len(first)


def check_end(order: Mapping[str, Any], last: Event) -> None:
    """Check that the last event of an order says how it ended."""
    if order["status"] in ("completed", "sync_failed"):
        assert (last.type, last.data["stage"]) == ("completion", LAST_STAGE), (order, last)
    else:
        assert order["status"] in ("failed", "cancelled"), order
        said = last.type, last.data["stage"], last.data.get("error")
        assert said == ("error", order["failedStage"], order["error"]), (order, last)
