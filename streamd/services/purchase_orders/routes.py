"""The routes of the service: ``/api/purchase-orders`` and ``/api/realtime/events``."""

import secrets
from typing import Final
from urllib.parse import urlencode

import attrs
import trio
from quart import Blueprint, request
from quart_schema import document_headers, document_querystring, document_request, document_response
from quart_trio.wrappers import TrioResponse

from ... import Streamd
from ...characters import quoted
from ...connections import Group
from ...errors import NotFound, UnsupportedMediaType
from ...events import format_time
from ...http import (
    EventStream,
    EventStreamText,
    ResumeHeaders,
    demand_merchant,
    demand_token,
    document_idempotency,
    document_problems,
    idempotency_key,
    json_response,
    public_url,
    read_body,
    request_or_upgrade,
    stream_route,
)
from ...idempotency import IdempotencyKey
from . import models
from .checking import check_document
from .ending import end_of
from .identity import PARAMETER, MerchantIdentity
from .job import OrderTools
from .merchant_events import order_id_of, topics_of
from .order import Format, ReceivedOrder
from .receiving import find_task, start_order

_ID_BYTES: Final = 12


def make_blueprint(
    streamd: Streamd, tools: OrderTools, identity: MerchantIdentity, group: Group
) -> Blueprint:
    """Build the routes of the service.

    Args:
        streamd: creates and finds the tasks.
        tools: the parts that the routes share with the jobs.
        identity: identifies the merchant of a request.
        group: admits the streams.
    """
    blueprint = Blueprint("streamd_purchase_orders", __name__)
    settings, store = tools.settings, tools.store

    @blueprint.post("/api/purchase-orders")
    @document_querystring(models.MerchantQuery)
    @document_request(models.NewOrder)
    @document_response(models.AcceptedOrder, 202)
    @document_problems(400, 401, 403, 413, 415, 503, 504)
    @document_idempotency
    async def receive_order() -> TrioResponse:
        """Send an order as CSV, JSON or plain text; its stages are events of its merchant."""
        key_text = idempotency_key()
        merchant_id = await merchant_of_request(identity)
        format = _parse_format(request.mimetype)
        body = await read_body(max_bytes=settings.max_body_bytes)
        charset = request.mimetype_params.get("charset", "")
        currency = tools.currency_of(merchant_id)
        text = await tools.arrivals.run(
            len(body), check_document, body, charset, format, tools.limits, currency
        )
        key = None
        if key_text is not None:
            key = IdempotencyKey.create(key_text, (format, text), scope=merchant_id)
        workflow_id = secrets.token_hex(_ID_BYTES)
        received = ReceivedOrder(
            po_id=order_id_of(workflow_id),
            merchant_id=merchant_id,
            workflow_id=workflow_id,
            format=format,
            document=text.encode(),
        )
        with trio.CancelScope(shield=True):  # an order must not be stored without its task
            receipt = await start_order(streamd, store, received, key)
        query = {PARAMETER: merchant_id} if PARAMETER in request.args else {}
        status_url = public_url(f"/api/purchase-orders/{receipt.po_id}")
        events_url = public_url("/api/realtime/events")
        accepted = models.AcceptedOrder(
            po_id=receipt.po_id,
            workflow_id=receipt.workflow_id,
            status_url=status_url + (f"?{urlencode(query)}" if query else ""),
            events_url=f"{events_url}?{urlencode({**query, 'last_event_id': receipt.cursor})}",
        )
        return json_response(accepted, 202, {"Location": accepted.status_url})

    @blueprint.get("/api/purchase-orders/<po_id>")
    @document_querystring(models.MerchantQuery)
    @document_response(models.OrderAnswer, 200)
    @document_problems(400, 401, 403, 404, 503)
    async def show_order(po_id: str) -> TrioResponse:
        """Return an order with its lines and its status."""
        stored = await store.find(po_id, await merchant_of_request(identity))
        if stored is None:
            raise NotFound(f"there is no purchase order {quoted(po_id)}", field="poId")
        task = await find_task(streamd, stored.workflow_id)
        end = end_of(task) if task is not None and not stored.status.ended else None
        if end is not None:  # it is published a moment before it is recorded with the order
            stored = attrs.evolve(
                stored,
                status=end.status,
                stage=end.stage,
                error=end.error,
                ended_at=max(stored.created_at, format_time(end.at)),
            )
        return json_response(models.answer_order(stored, task))

    @stream_route(blueprint, "/api/realtime/events")
    @document_querystring(models.StreamQuery)
    @document_headers(ResumeHeaders)
    @document_response(EventStreamText, 200)
    @document_problems(400, 401, 403, 429, 503)
    async def follow_merchant() -> EventStream:
        """Stream the events of a merchant's orders: `stage`, `progress`, `completion`, `error`."""
        return EventStream(
            topics_of(await merchant_of_request(identity)),
            heartbeat_seconds=settings.stream.heartbeat_seconds,
            group=group,
        )

    return blueprint


async def merchant_of_request(identity: MerchantIdentity) -> str:
    """Return the merchant of the current request, for whom its caller may act.

    Raises:
        InvalidField: the request names no merchant, or an invalid id.
        Unauthorized, Forbidden: its caller may not act for the merchant.
    """
    caller = await demand_token()
    if not caller.grant.admin:
        await demand_merchant(caller.merchant)  # it has one
    merchant = identity.merchant(request_or_upgrade(), caller)
    await demand_merchant(merchant)
    return merchant


def _parse_format(mimetype: str) -> Format:
    try:
        return Format(mimetype)
    except ValueError:
        known = ", ".join(Format)
        raise UnsupportedMediaType(
            f"Content-Type must be one of {known} ({mimetype[:80] or 'none'} was sent)", field="Content-Type"
        ) from None
