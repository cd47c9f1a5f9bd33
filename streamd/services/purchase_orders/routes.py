"""``/api/purchase-orders`` and ``/api/realtime/events``."""

import secrets
from typing import Final
from urllib.parse import urlencode

import attrs
import trio
from quart import Blueprint, request
from quart_schema import document_headers, document_querystring, document_request, document_response
from quart_trio.wrappers import TrioResponse

from ...connections import Group
from ...errors import Gone, NotFound, TooLarge, UnsupportedMediaType
from ...http import EventStream, EventStreamText, ResumeHeaders, document_problems, json_response, read_body
from ...runtime import Runtime
from ...tasks import Task
from . import shapes
from .documents import decode_text, read_sheet
from .identity import PARAMETER, MerchantIdentity
from .merchant_events import topics_of
from .model import Format, OrderLimits, ReceivedOrder
from .normalize import normalize_order
from .pipeline import PLAN, Tools
from .sheet import make_order
from .sweep import KIND

_TEXT_LINES: Final = 4  # lines of a plain text for each line item that it may hold: greetings, blank ones
_ID_BYTES: Final = 12


@attrs.frozen
class Views:
    """What the views need."""

    runtime: Runtime
    tools: Tools
    identity: MerchantIdentity
    group: Group

    async def receive(self) -> TrioResponse:
        """Keep an order and start its work; what can be known to be wrong is refused before."""
        settings = self.tools.settings
        merchant_id = self.identity.merchant(request)
        format = _parse_format(request.mimetype)
        body = await read_body(max_bytes=settings.max_body_bytes)
        text = decode_text(body, request.mimetype_params.get("charset", ""))
        await self._check(text, format, merchant_id)
        received = ReceivedOrder(
            po_id=f"po-{secrets.token_hex(_ID_BYTES)}",
            merchant_id=merchant_id,
            workflow_id=secrets.token_hex(_ID_BYTES),
            format=format,
            document=text.encode(),
        )
        location = self.runtime.broker.log.head
        with trio.CancelScope(shield=True):  # a client that leaves now must not leave half an order behind
            await self._start(received)
        query = {PARAMETER: merchant_id} if PARAMETER in request.args else {}
        status_url = f"/api/purchase-orders/{received.po_id}"
        accepted = shapes.Accepted(
            po_id=received.po_id,
            workflow_id=received.workflow_id,
            status_url=status_url + (f"?{urlencode(query)}" if query else ""),
            events_url=f"/api/realtime/events?{urlencode({**query, 'last_event_id': location})}",
        )
        return json_response(accepted, 202, {"Location": accepted.status_url})

    async def _check(self, text: str, format: Format, merchant_id: str) -> None:
        """Refuse an order that cannot be read.

        Raises:
            InvalidBody, InvalidField, TooLarge: the reason, and the place.
        """
        limits = self.tools.limits
        if format is Format.TEXT:
            most = _TEXT_LINES * limits.max_lines
            if text.count("\n") > most:
                raise TooLarge(f"the text has more than {most} lines", field="body")
            return
        currency = self.tools.currency_of(merchant_id)
        await trio.to_thread.run_sync(_read_to_the_end, text, format, limits, currency)

    async def _start(self, received: ReceivedOrder) -> None:
        await self.tools.store.receive(received)
        try:
            await self.runtime.tasks.create(
                KIND,
                id=received.workflow_id,
                owner=received.merchant_id,
                input={"poId": received.po_id},
                steps=PLAN,
                message="The order is received",
            )
        except BaseException:
            await self.tools.store.forget(received.po_id)
            raise

    async def show(self, po_id: str) -> TrioResponse:
        """An order of the caller's merchant."""
        merchant_id = self.identity.merchant(request)
        stored = await self.tools.store.find(po_id, merchant_id)
        if stored is None:
            raise NotFound(f"there is no purchase order {po_id[:128]!r}", field="poId")
        return json_response(shapes.answer_order(stored, await self._task(stored.workflow_id)))

    async def _task(self, workflow_id: str) -> Task | None:
        try:
            return await self.runtime.tasks.get(workflow_id, kind=KIND)
        except (NotFound, Gone):
            return None

    def follow(self) -> EventStream:
        """The events of the caller's merchant, and of nobody else."""
        return EventStream(
            topics_of(self.identity.merchant(request)),
            heartbeat_seconds=self.tools.settings.heartbeat_seconds,
            group=self.group,
        )


def make_blueprint(views: Views) -> Blueprint:
    """The routes."""
    blueprint = Blueprint("streamd_purchase_orders", __name__)

    @blueprint.post("/api/purchase-orders")
    @document_querystring(shapes.MerchantQuery)
    @document_request(shapes.NewOrder)
    @document_response(shapes.Accepted, 202)
    @document_problems(400, 413, 415, 503)
    async def receive_order() -> TrioResponse:
        """Send an order as CSV, JSON or plain text; its stages are events of its merchant."""
        return await views.receive()

    @blueprint.get("/api/purchase-orders/<po_id>")
    @document_querystring(shapes.MerchantQuery)
    @document_response(shapes.OrderAnswer, 200)
    @document_problems(400, 404)
    async def show_order(po_id: str) -> TrioResponse:
        """An order with its lines, and how far it is."""
        return await views.show(po_id)

    @blueprint.get("/api/realtime/events")
    @document_querystring(shapes.StreamQuery)
    @document_headers(ResumeHeaders)
    @document_response(EventStreamText, 200)
    @document_problems(400, 429, 503)
    async def follow_merchant() -> EventStream:
        """What happens to the orders of a merchant: `stage`, `progress`, `completion`, `error`."""
        return views.follow()

    return blueprint


def _parse_format(mimetype: str) -> Format:
    try:
        return Format(mimetype)
    except ValueError:
        known = ", ".join(Format)
        raise UnsupportedMediaType(
            f"an order is {known}, not {mimetype[:80] or 'without a content type'}", field="Content-Type"
        ) from None


def _read_to_the_end(text: str, format: Format, limits: OrderLimits, currency: str) -> None:
    normalize_order(make_order(read_sheet(text, format, limits), limits), currency)
