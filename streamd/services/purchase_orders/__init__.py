"""Purchase orders: from a file, a document or an e-mail to a shop, stage by stage, and each stage an event.

::

    POST ─ views ─ documents, tabular, sheet     what can be known to be wrong is refused here
              │
              └ store (received) ─ task ─ pipeline ─ MerchantListener ─ MerchantEvents ─ hub
                                             │
       merchant_config · ai_parsing · data_normalization · database_save · ai_enrichment
       · product_draft_creation · shopify_payload · shopify_sync · image_attachment
       · background_image_processing · status_update

===================  ============================================================================
``model``            the order, its lines, the names of the stages
``amounts``          money and counts as people write them
``columns``          what columns and fields are called
``tabular``          CSV             ``documents``  JSON, charsets
``mail``             plain text      ``parsing``    the text generator, and the confidence
``sheet``            cells with their places, made into an order
``normalize``        SKUs, currency, totals
``enrich``           category, tags, a short description
``store``            the database; ``tables`` has the tables, ``stored`` reads orders back
``shop``             the payload, and sending it
``images``           looking at pictures, at public addresses only
``identity``         whose orders a request is about
``merchant_events``  publishing to merchants, in order, without holding up what is told of
``listener``         from stages to such events        ``stages``  a stage, and its listener
``pipeline``         the stages        ``sweep``  orders whose work ended before they did
``views``            the routes        ``shapes`` the JSON
===================  ============================================================================

Programs that process orders by themselves publish with the service's own :class:`MerchantEvents`, which is
``app.extensions[MERCHANT_EVENTS]``.

In open mode everybody is believed to be the merchant that the query names, and ``/events`` and ``/tasks`` are
open to everybody: one merchant is kept from another's events and orders by *these* routes, and by nothing
else until keys exist.
"""

import ssl
from functools import partial
from typing import Final

import httpx
import trio
from quart.blueprints import BlueprintSetupState

from ... import Service, Streamd
from ...connections import Group
from ...errors import ConfigError, InvalidField
from ...tasks import Kind
from ...text import make_generator
from . import enrich, parsing
from .amounts import CURRENCIES
from .identity import ClaimMerchant, MerchantIdentity, OpenMerchant, check_merchant
from .images import ImageLooker
from .merchant_events import Counters, MerchantEvents
from .pipeline import Tools, work_on
from .routes import Views, make_blueprint
from .settings import PurchaseOrderSettings
from .shop import Shop
from .store import OrderStore
from .sweep import KIND, Sweep

MERCHANT_EVENTS: Final = "streamd_merchant_events"
"""The key of the service's :class:`MerchantEvents` in ``app.extensions``."""


def make(streamd: Streamd, settings: PurchaseOrderSettings) -> Service:
    """Build the service.

    Raises:
        ConfigError: a setting of its section cannot be used.
    """
    _check_settings(settings)
    store = OrderStore(streamd.database, max_orders=settings.max_orders)
    events = MerchantEvents(
        streamd.hub,
        Counters(streamd.metrics.registry),
        attempts=settings.publish_attempts,
        backoff_seconds=settings.publish_backoff_seconds,
        max_waiting=settings.max_waiting_events,
    )
    tls = ssl.create_default_context()
    # No timeouts of their own: whoever asks bounds the whole. Pictures are not asked through a
    # proxy, which would resolve their hosts anew.
    to_shop = httpx.AsyncClient(verify=tls, timeout=None)  # noqa: S113
    # Nor over a connection that was kept: at one address there may be many hosts, each with a certificate.
    unkept = httpx.Limits(max_keepalive_connections=0)
    to_images = httpx.AsyncClient(verify=tls, timeout=None, trust_env=False, limits=unkept)  # noqa: S113
    tools = Tools(
        settings=settings,
        store=store,
        events=events,
        generator=make_generator(streamd.settings.text, {**parsing.RULES, **enrich.RULES}),
        shop=Shop(to_shop, settings),
        images=ImageLooker(
            to_images,
            timeout_seconds=settings.image_timeout_seconds,
            max_bytes=settings.image_max_bytes,
            allow_private=settings.image_allow_private,
        ),
        currencies=_read_currencies(settings),
    )
    kind = Kind(
        name=KIND,
        work=partial(work_on, tools),
        timeout_seconds=settings.timeout_seconds,
        private=True,
    )
    group = Group(
        "purchase orders",
        max_connections=settings.max_connections,
        max_lifetime_seconds=settings.max_lifetime_seconds,
    )
    blueprint = make_blueprint(Views(streamd.runtime, tools, OpenMerchant(settings.default_merchant), group))

    def offer_events(state: BlueprintSetupState) -> None:
        state.app.extensions[MERCHANT_EVENTS] = events

    blueprint.record_once(offer_events)
    sweep = Sweep(store, streamd.tasks, events, settings.sweep_seconds)

    async def run() -> None:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(events.run)
                nursery.start_soon(sweep.run)
        finally:
            with trio.move_on_after(1, shield=True):
                await to_shop.aclose()
                await to_images.aclose()

    return Service(blueprint, [kind], run)


_SECTION: Final = "purchase_orders"


def _check_settings(settings: PurchaseOrderSettings) -> None:
    if settings.sync_url:
        try:
            url = httpx.URL(settings.sync_url)
        except httpx.InvalidURL as error:
            raise _wrong("sync_url", f"is no URL: {error}") from error
        if url.scheme not in ("http", "https") or not url.host:
            raise _wrong("sync_url", "must be an http or https URL")
    if settings.default_currency not in CURRENCIES:
        raise _wrong("default_currency", f"is no known ISO 4217 code: {settings.default_currency!r}")
    if settings.default_merchant:
        _check_id(settings.default_merchant, "default_merchant")


def _read_currencies(settings: PurchaseOrderSettings) -> dict[str, str]:
    """Currencies by merchant.

    Raises:
        ConfigError: an entry is not MERCHANT=CODE.
    """
    currencies = {}
    for entry in settings.merchant_currencies:
        merchant_id, _, code = entry.rpartition("=")
        if code not in CURRENCIES:
            raise _wrong("merchant_currencies", f"must have entries MERCHANT=CODE, got {entry!r}")
        currencies[_check_id(merchant_id, "merchant_currencies")] = code
    return currencies


def _check_id(text: str, name: str) -> str:
    try:
        return check_merchant(text, field=f"{_SECTION}.{name}")
    except InvalidField as error:
        raise ConfigError(error.detail, field=error.field) from error


def _wrong(name: str, what: str) -> ConfigError:
    return ConfigError(f"{_SECTION}.{name} {what}", field=f"{_SECTION}.{name}")


__all__ = [
    "KIND",
    "MERCHANT_EVENTS",
    "ClaimMerchant",
    "MerchantEvents",
    "MerchantIdentity",
    "OpenMerchant",
    "make",
]
