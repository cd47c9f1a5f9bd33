"""Assembly of the purchase orders service: store, HTTP clients, task kind and routes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

from quart.blueprints import BlueprintSetupState

from ... import Service, Streamd
from ...computing.computer import Computer
from ...connections import Group
from ...outbound import open_client, system_trust
from ...tasks import Kind
from ...text import make_generator
from . import enrich, parsing
from .ending import end_order
from .identity import CallersMerchant
from .images import ImageVerifier
from .job import KIND, OrderTools, process_order
from .merchant_events import MerchantEvents, present
from .recovery import keep_recovering
from .routes import make_blueprint
from .settings import PurchaseOrderSettings
from .shop import Shop
from .store import OrderStore
from .store.sqlite import SQLiteOrderStore

MERCHANT_EVENTS: Final = "streamd_merchant_events"
"""The key of the service's :class:`.merchant_events.MerchantEvents` in ``app.extensions``."""


def make(streamd: Streamd, settings: PurchaseOrderSettings) -> Service:
    """Build the service.

    Raises:
        ConfigError: the settings of the text generator are not valid.
    """
    store = make_store(streamd, settings)
    events = MerchantEvents(streamd.publish)
    system_trust()  # not with the first order

    # No timeouts here: the shop's retry policy and the image timeout bound whole requests. Each order has
    # clients of its own, which its job closes: at a shutdown the service ends before the running jobs.
    @asynccontextmanager
    async def open_shop() -> AsyncIterator[Shop]:
        async with open_client() as http:
            yield Shop(http, settings)

    @asynccontextmanager
    async def open_images() -> AsyncIterator[ImageVerifier]:
        # No proxy, which would resolve host names again. No keep-alive: hosts share addresses, not
        # certificates.
        async with open_client(keep_alive=False, trust_env=False) as http:
            yield ImageVerifier(http, settings)

    tools = OrderTools(
        settings=settings,
        store=store,
        generator=make_generator(streamd.settings.text, {**parsing.RULES, **enrich.RULES}),
        open_shop=open_shop,
        open_images=open_images,
        currencies=_read_currencies(settings.merchant_currencies),
        arrivals=Computer("arrivals of orders", streamd.processes),
        computer=Computer("orders", streamd.processes),
    )
    kind = Kind(
        name=KIND,
        work=partial(process_order, tools),
        timeout_seconds=settings.timeout_seconds,
        completion_message="The order is complete",
        cancellation_message="The order was cancelled",
        present=present,
        ended=partial(end_order, store),
        private=True,
        of_merchants=True,
    )
    group = Group(
        "purchase orders",
        max_connections=settings.stream.max_connections,
        max_lifetime_seconds=settings.stream.max_lifetime_seconds,
    )
    streamd.connections.add_group(group)
    blueprint = make_blueprint(streamd, tools, CallersMerchant(settings.default_merchant), group)

    def offer_events(state: BlueprintSetupState) -> None:
        state.app.extensions[MERCHANT_EVENTS] = events

    blueprint.record_once(offer_events)

    async def run() -> None:
        await keep_recovering(streamd, store)

    def apply_settings(changed: Any) -> None:
        group.max_connections = changed.purchase_orders.stream.max_connections
        store.max_orders = changed.purchase_orders.max_orders

    return Service(blueprint, [kind], run, apply_settings)


def make_store(streamd: Streamd, settings: PurchaseOrderSettings) -> OrderStore:
    """Build the store of orders: in Redis if nodes share it, else in the database."""
    if streamd.redis is None:
        return SQLiteOrderStore(streamd.database, max_orders=settings.max_orders)
    from .store.redis import RedisOrderStore  # not without Redis: its client takes 0.2 s to import

    database = streamd.database
    return RedisOrderStore(streamd.redis, database.clock, database.unreadable, max_orders=settings.max_orders)


def _read_currencies(entries: list[str]) -> dict[str, str]:
    """Read the currencies of merchants, each MERCHANT=CODE, by merchant."""
    pairs = (entry.rpartition("=") for entry in entries)
    return {merchant_id: code for merchant_id, _, code in pairs}
