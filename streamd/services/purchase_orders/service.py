"""Assembly of the purchase orders service: store, HTTP clients, task kind, routes and recovery."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

import httpx
import structlog
import trio
from quart.blueprints import BlueprintSetupState

from ... import Service, Streamd
from ...connections import Group
from ...errors import RequestError, StreamdError, TaskExists
from ...tasks import Kind, Task
from ...text import make_generator
from . import enrich, parsing
from .identity import OpenMerchant
from .images import ImageVerifier
from .job import KIND, OrderTools, end_of, find_task, process_order
from .merchant_events import MerchantEvents, error_event, present, topic_of
from .order import STAGES, OrderEnd, OrderStatus
from .receiving import create_task
from .routes import make_blueprint
from .settings import PurchaseOrderSettings
from .shop import Shop
from .store import OrderStore

MERCHANT_EVENTS: Final = "streamd_merchant_events"
"""The key of the service's :class:`.merchant_events.MerchantEvents` in ``app.extensions``."""

_INTERRUPTED: Final = "its processing was interrupted"
_PAGE_ORDERS: Final = 1000  # orders per page of the recovery
_RETRY_SECONDS: Final = 1.0

_log = structlog.get_logger(__name__)


def make(streamd: Streamd, settings: PurchaseOrderSettings) -> Service:
    """Build the service.

    Raises:
        ConfigError: the settings of the text generator are not valid.
    """
    store = OrderStore(streamd.database, max_orders=settings.max_orders)
    events = MerchantEvents(streamd.publish)
    tls = ssl.create_default_context()

    # No timeouts here: the shop's retry policy and the image timeout bound whole requests. Each order has
    # clients of its own, which its job closes: at a shutdown the service ends before the running jobs.
    @asynccontextmanager
    async def open_shop() -> AsyncIterator[Shop]:
        async with httpx.AsyncClient(verify=tls, timeout=None) as http:  # noqa: S113
            yield Shop(http, settings)

    @asynccontextmanager
    async def open_images() -> AsyncIterator[ImageVerifier]:
        # No proxy, which would resolve host names again. No keep-alive: hosts share addresses, not
        # certificates.
        limits = httpx.Limits(max_keepalive_connections=0)
        async with httpx.AsyncClient(verify=tls, timeout=None, trust_env=False, limits=limits) as http:  # noqa: S113
            yield ImageVerifier(http, settings)

    tools = OrderTools(
        settings=settings,
        store=store,
        generator=make_generator(streamd.settings.text, {**parsing.RULES, **enrich.RULES}),
        open_shop=open_shop,
        open_images=open_images,
        currencies=_read_currencies(settings.merchant_currencies),
    )
    kind = Kind(
        name=KIND,
        work=partial(process_order, tools),
        timeout_seconds=settings.timeout_seconds,
        completion_message="The order is complete",
        cancellation_message="The order was cancelled",
        present=present,
        ended=partial(_end_order, store),
        private=True,
    )
    group = Group(
        "purchase orders",
        max_connections=settings.stream.max_connections,
        max_lifetime_seconds=settings.stream.max_lifetime_seconds,
    )
    blueprint = make_blueprint(streamd, tools, OpenMerchant(settings.default_merchant), group)

    def offer_events(state: BlueprintSetupState) -> None:
        state.app.extensions[MERCHANT_EVENTS] = events

    blueprint.record_once(offer_events)

    async def run() -> None:
        await _recover(streamd, store)
        await trio.sleep_forever()

    def apply_settings(changed: Any) -> None:
        group.max_connections = changed.purchase_orders.stream.max_connections
        store.max_orders = changed.purchase_orders.max_orders

    return Service(blueprint, [kind], run, apply_settings)


# --- ends of orders -----------------------------------------------------------------------------


async def _end_order(store: OrderStore, task: Task) -> None:
    """End the order of an ended task."""
    end = end_of(task)
    if end is not None:
        await store.end(task.id, end)


async def _recover(streamd: Streamd, store: OrderStore) -> None:
    """Resume or end the orders that a process before this one left without a task.

    A process that dies between storing an order and creating its task leaves such an order. With an
    idempotency key it is processed now, because the request that is sent again returns it. Without one it
    fails, because that request makes another order. An order with a task ends with that task.
    """
    last = 0
    while True:
        try:
            orders = await store.open_orders(last, _PAGE_ORDERS)
            if not orders:
                return
            for _, merchant_id, po_id, workflow_id, has_key in orders:
                if po_id in store.starting:  # received by this process; its task is being created
                    continue
                task = await find_task(streamd, workflow_id)
                if task is None and has_key:
                    await _resume(streamd, store, merchant_id, po_id, workflow_id)
                elif task is None:
                    await _interrupt(streamd, store, merchant_id, po_id, workflow_id)
                elif task.status.ended:
                    await _end_order(store, task)
            last = orders[-1][0]
        except StreamdError as error:
            _log.warning("order_recovery_delayed", code=error.code, detail=error.detail)
            await trio.sleep(_RETRY_SECONDS)


async def _resume(
    streamd: Streamd, store: OrderStore, merchant_id: str, po_id: str, workflow_id: str
) -> None:
    """Create the task of an order; end the order if its task was deleted."""
    try:
        await create_task(streamd, merchant_id, po_id, workflow_id)
    except TaskExists:
        await _interrupt(streamd, store, merchant_id, po_id, workflow_id)


async def _interrupt(
    streamd: Streamd, store: OrderStore, merchant_id: str, po_id: str, workflow_id: str
) -> None:
    """Report and end an order without a task. A crash in between repeats the event, and loses none."""
    event = error_event(stage=STAGES[0], error=_INTERRUPTED, po_id=po_id, workflow_id=workflow_id)
    topic, key = topic_of(merchant_id, event.type), f"{po_id}:interrupted"
    try:
        await streamd.publish(topic, event.data, type=event.type, idempotency_key=key)
    except RequestError as error:  # the stored ids are damaged: nobody follows such a merchant
        _log.warning("merchant_event_dropped", order=po_id, code=error.code, detail=error.detail)
    at = streamd.database.clock.wall()
    await store.end(workflow_id, OrderEnd(OrderStatus.FAILED, at, STAGES[0], _INTERRUPTED))


def _read_currencies(entries: list[str]) -> dict[str, str]:
    """Read the currencies of merchants, each MERCHANT=CODE, by merchant."""
    pairs = (entry.rpartition("=") for entry in entries)
    return {merchant_id: code for merchant_id, _, code in pairs}
