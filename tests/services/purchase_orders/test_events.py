"""The events of a merchant: their fields, their derivation from a task's messages, their publication."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import structlog.testing
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from streamd.errors import HubLagging, InvalidField, TooLarge
from streamd.events import EARLIEST, Selectors
from streamd.services.purchase_orders import MerchantEvents
from streamd.services.purchase_orders.ending import end_of
from streamd.services.purchase_orders.merchant_events import (
    TYPES,
    order_id_of,
    present,
    topics_of,
)
from streamd.services.purchase_orders.order import STAGES, OrderStatus
from streamd.tasks import Cause, Kind, Progress, StepFailed, StepPlan, StepStatus, Task, WorkFailed
from streamd.tasks import operations as ops
from streamd.tasks.model import Change
from tests.support.clocks import NOON
from tests.support.orders_rig import check_payload
from tests.support.task_rig import FailingLog, make_rig, running

IDS: dict[str, Any] = {"stage": "ai_parsing", "po_id": "po-1", "workflow_id": "w-1"}


class Published:
    """Records published events; fails with the given errors first."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.events: list[tuple[str, str | None, Any]] = []

    async def __call__(self, topic: str, data: Any, *, type: str | None = None) -> None:
        await trio.lowlevel.checkpoint()
        if self.errors:
            raise self.errors.pop(0)
        self.events.append((topic, type, data))


# --- typed publishing -------------------------------------------------------------------------------


async def test_each_call_publishes_one_event_with_exactly_its_fields() -> None:
    published = Published()
    events = MerchantEvents(published)
    await events.publish_stage("shop", **IDS)
    await events.publish_progress("shop", progress=99.99, message="nearly", **IDS)
    await events.publish_completion("shop", **IDS)
    await events.publish_completion(
        "shop", line_items=0, confidence=99.96, purchase_order_id="p", shopify_order_id="s", **IDS
    )
    await events.publish_error("shop", error="no", **IDS)
    for topic, type, data in published.events:
        assert type is not None
        assert topic == f"merchant:shop:{type}"
        check_payload(type, data)
    base = {"stage": "ai_parsing", "poId": "po-1", "workflowId": "w-1"}
    assert [data for _, _, data in published.events] == [
        base | {"status": "started", "message": ""},
        base | {"progress": 99.9, "message": "nearly"},
        base,
        base | {"lineItems": 0, "confidence": 100, "purchaseOrderId": "p", "shopifyOrderId": "s"},
        base | {"error": "no"},
    ]


@pytest.mark.parametrize("progress", [-1, 101, float("nan"), True])
async def test_a_progress_out_of_range_is_refused(progress: float) -> None:
    published = Published()
    with pytest.raises(InvalidField) as refused:
        await MerchantEvents(published).publish_progress("shop", progress=progress, **IDS)
    assert refused.value.field == "progress"
    assert published.events == []


async def test_an_invalid_merchant_is_refused() -> None:
    published = Published()
    with pytest.raises(InvalidField):
        await MerchantEvents(published).publish_stage("a:b", **IDS)
    assert published.events == []


@pytest.mark.parametrize("error", [HubLagging("behind"), TooLarge("too large")])
async def test_an_event_that_the_hub_refuses_is_logged_and_fails_nothing(error: Exception) -> None:
    published = Published(error)
    with structlog.testing.capture_logs() as logs:
        await MerchantEvents(published).publish_stage("shop", **IDS)
        await MerchantEvents(published).publish_error("shop", error="later", **IDS)
    assert [type for _, type, _ in published.events] == ["error"]
    assert [entry["event"] for entry in logs] == ["merchant_event_dropped"]


# --- from a task's messages -------------------------------------------------------------------------


def created() -> Task:
    steps = [StepPlan(stage) for stage in STAGES]
    return ops.create(id="w1", kind="k", now=NOON, timeout_seconds=60, owner="shop", steps=steps).task


def started() -> Task:
    return ops.start(created(), NOON, worker="w", lease="l", lease_seconds=10).task


def shown(change: Change) -> list[tuple[str, dict[str, Any]]]:
    """Return the merchant's events of a change, after checking topics, ids and fields."""
    assert change.message is not None
    own, *further = present(change.task, change.message)
    assert own.topics == (change.task.topic,)
    assert own.message == change.message
    events = []
    for publication in further:
        type, data = publication.message.type, publication.message.data
        assert publication.topics == (f"merchant:shop:{type}",)
        check_payload(type, data)
        assert (data.pop("poId"), data.pop("workflowId")) == (order_id_of("w1"), "w1")
        events.append((type, data))
    return events


def test_a_stage_reports_its_start_progress_and_completion() -> None:
    start = ops.start_step(started(), NOON, "ai_parsing", message="Reading the order")
    update = ops.update_step(start.task, NOON, "ai_parsing", progress=33.33, message="a third")
    end = ops.end_step(
        update.task, NOON, "ai_parsing", StepStatus.COMPLETED, fields={"lineItems": 2, "confidence": 90}
    )
    assert shown(start) == [
        ("stage", {"stage": "ai_parsing", "status": "started", "message": "Reading the order"})
    ]
    assert shown(update) == [("progress", {"stage": "ai_parsing", "progress": 33.3, "message": "a third"})]
    assert shown(end) == [("completion", {"stage": "ai_parsing", "lineItems": 2, "confidence": 90})]


def test_a_skipped_stage_reports_its_reason_and_a_completion() -> None:
    start = ops.start_step(started(), NOON, "shopify_sync")
    end = ops.end_step(start.task, NOON, "shopify_sync", StepStatus.SKIPPED, message="no URL")
    assert shown(end) == [
        ("progress", {"stage": "shopify_sync", "progress": 100, "message": "Skipped: no URL"}),
        ("completion", {"stage": "shopify_sync"}),
    ]


def test_a_failed_stage_reports_its_error_once_also_if_the_task_fails_with_it() -> None:
    start = ops.start_step(started(), NOON, "database_save")
    end = ops.end_step(start.task, NOON, "database_save", StepStatus.FAILED, error="the disk is full")
    fail = ops.fail(end.task, NOON, code="failed", detail="the disk is full")
    assert shown(end) == [("error", {"stage": "database_save", "error": "the disk is full"})]
    assert shown(fail) == []


@pytest.mark.parametrize(
    ("end", "error"),
    [
        (lambda task: ops.fail(task, NOON, code="timeout", detail="too late"), "too late"),
        (lambda task: ops.fail(task, NOON, code="stalled", detail="it stalled"), "it stalled"),
        (lambda task: ops.cancel(task, NOON, detail="not wanted"), "not wanted"),
    ],
)
def test_an_end_from_outside_the_job_is_an_error_of_the_current_stage(
    end: Callable[[Task], Change], error: str
) -> None:
    running_stage = ops.start_step(started(), NOON, "ai_enrichment").task
    between = ops.end_step(running_stage, NOON, "ai_enrichment", StepStatus.COMPLETED).task
    for task, stage in (
        (running_stage, "ai_enrichment"),
        (between, "ai_enrichment"),
        (created(), STAGES[0]),
    ):
        assert shown(end(task)) == [("error", {"stage": stage, "error": error})]


def test_an_error_of_the_job_that_no_stage_has_reported_is_an_error_of_the_current_stage() -> None:
    running_stage = ops.start_step(started(), NOON, "ai_enrichment").task
    between = ops.end_step(running_stage, NOON, "ai_enrichment", StepStatus.COMPLETED).task
    for task, stage in ((started(), STAGES[0]), (running_stage, "ai_enrichment"), (between, "ai_enrichment")):
        fail = ops.fail(task, NOON, code="unreadable", detail="it is damaged")
        assert shown(fail) == [("error", {"stage": stage, "error": "it is damaged"})]
        end = end_of(fail.task)
        assert end is not None
        assert (end.status, end.stage, end.error) == (OrderStatus.FAILED, stage, "it is damaged")


@pytest.mark.parametrize(
    ("rejected", "status"), [(False, OrderStatus.COMPLETED), (True, OrderStatus.SYNC_FAILED)]
)
@pytest.mark.parametrize(
    "end",
    [
        lambda task: ops.complete(task, NOON, result=b"{}"),
        lambda task: ops.fail(task, NOON, code="timeout", detail="too late"),
        lambda task: ops.fail(task, NOON, code="stalled", detail="it stalled"),
        lambda task: ops.fail(task, NOON, code="sync-failed", detail="the order is saved"),
        lambda task: ops.fail(task, NOON, code="internal", detail="something went wrong"),
        lambda task: ops.cancel(task, NOON, detail="not wanted"),
    ],
)
def test_the_completion_of_the_last_stage_ends_the_order(
    end: Callable[[Task], Change], rejected: bool, status: OrderStatus
) -> None:
    task = started()
    for stage in STAGES:
        task = ops.update_step(ops.start_step(task, NOON, stage).task, NOON, stage, progress=100).task
        assert end_of(task) is None, "the stage has yet to complete"
        failed = rejected and stage == "shopify_sync"
        outcome = StepStatus.FAILED if failed else StepStatus.COMPLETED
        task = ops.end_step(task, NOON, stage, outcome, error="not accepted" if failed else "").task
    shown_then = end_of(task)
    assert shown_then is not None
    assert shown_then.status is status
    ended = end(task)
    assert end_of(ended.task) == shown_then
    assert shown(ended) == [], "the merchant has received the completion of the last stage"


def test_other_messages_report_nothing_to_the_merchant() -> None:
    for change in (
        ops.start(created(), NOON, worker="w", lease="l", lease_seconds=10),
        ops.update(started(), NOON, progress=5, message="x"),
        ops.complete(started(), NOON, result=b"{}"),
    ):
        assert shown(change) == []


def test_a_task_without_a_merchant_reports_only_to_its_own_topic() -> None:
    task = ops.create(id="w1", kind="k", now=NOON, timeout_seconds=60).task
    cancelled = ops.cancel(task, NOON)
    assert cancelled.message is not None
    assert cancelled.message.cause is Cause.CANCELLED
    assert len(present(cancelled.task, cancelled.message)) == 1


@given(st.lists(st.sampled_from(["complete", "skip", "fail", "update"]), max_size=30), st.booleans())
def test_every_started_stage_gets_exactly_one_end(actions: list[str], cancel: bool) -> None:
    task, now, stages, events = started(), NOON, iter(STAGES), []
    current = next(stages)

    def apply(change: Change) -> None:
        nonlocal task
        task = change.task
        events.extend(shown(change))

    apply(ops.start_step(task, now, current))
    for action in actions:
        now += timedelta(seconds=0.1)
        if action == "update":
            apply(ops.update_step(task, now, current, progress=50))
            continue
        ends = {"complete": StepStatus.COMPLETED, "skip": StepStatus.SKIPPED, "fail": StepStatus.FAILED}
        apply(ops.end_step(task, now, current, ends[action], error="no" if action == "fail" else ""))
        following = next(stages, None)
        if following is None:
            break
        current = following
        apply(ops.start_step(task, now, current))
    else:
        apply(ops.cancel(task, now) if cancel else ops.fail(task, now, code="internal", detail="broken"))
    for stage in {data["stage"] for _, data in events}:
        types = [type for type, data in events if data["stage"] == stage]
        assert types[0] == "stage"
        assert types[-1] in ("completion", "error")
        assert sum(type in ("completion", "error") for type in types) == 1


# --- through the outbox -----------------------------------------------------------------------------


async def run_stages(log: FailingLog, progress: Progress) -> None:
    """Run three stages while appends to the log fail, before or after the log has taken the events."""
    async with progress.step("merchant_config", message="Looking up") as step:
        log.fail_before, log.fail_after = 3, 2
        await step.update(50, "half")
    async with progress.step("ai_parsing"):
        log.fail_after = 2
        raise StepFailed("not readable")


async def test_a_failing_log_delays_the_merchants_events_and_loses_or_repeats_none(
    autojump_clock: trio.testing.MockClock,
) -> None:
    log = FailingLog()
    rig = make_rig(log=log)

    async def work(progress: Progress) -> str:
        await run_stages(log, progress)
        async with progress.step("status_update"):
            raise WorkFailed("it failed")

    rig.tasks.register(Kind(name="k", work=work, present=present))
    with structlog.testing.capture_logs():
        async with running(rig):
            await rig.tasks.create("k", id="w1", owner="shop")
            await rig.ended("w1")
            await rig.drained()
    selectors = Selectors(topics=tuple(topics_of("shop")))
    page = await log.read(selectors, EARLIEST, max_events=100, max_bytes=1_000_000)
    assert [(event.type, event.topics[0]) for event in page.events] == [
        (type, f"merchant:shop:{type}")
        for type in ("stage", "progress", "completion", "stage", "error", "stage", "error")
    ]
    assert set(TYPES) == {event.type for event in page.events}
