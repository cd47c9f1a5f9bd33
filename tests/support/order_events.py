"""The events of a purchase order, and their expected order."""

from typing import Any

CSV = "SKU,Name,Qty,Unit cost\nbm 1,Blue Mug,12,4.50\n,Chair,2,10.00\n"

Events = list[tuple[str, dict[str, Any]]]
"""Types and data, in the order of the stream."""


def outline(events: Events) -> list[tuple[Any, ...]]:
    """Reduce events to type and stage, with a progress's figure and a completion's further fields."""
    shown: list[tuple[Any, ...]] = []
    for type, data in events:
        further: list[Any] = []
        if type == "progress":
            further = [data["progress"]]
        elif type == "completion":
            further = [{name: data[name] for name in data if name not in ("stage", "poId", "workflowId")}]
        shown.append((type, data["stage"], *further))
    return shown


def stage(name: str, *progress: float, **completion: Any) -> list[tuple[Any, ...]]:
    """Build the outline of one stage."""
    return [
        ("stage", name),
        *(("progress", name, figure) for figure in progress),
        ("completion", name, completion),
    ]


def usual(po_id: str, *, lines: int, shop_id: str | None, drafts: int, images: bool) -> list[tuple[Any, ...]]:
    """Build the outline of an order without failures."""
    ids = {"purchaseOrderId": po_id}
    shop = ids | {"shopifyOrderId": shop_id}
    pictures = {"lineItems": 1} if images else {}
    return [
        *stage("merchant_config", 100),
        *stage("ai_parsing", 5, 10, 30, 90, 100, lineItems=lines, confidence=90),
        *stage("data_normalization", 100, lineItems=lines),
        *stage("database_save", 10, 30, 60, 90, 100, lineItems=lines, **ids),
        *stage("ai_enrichment", 100, lineItems=lines),
        *stage("product_draft_creation", 100, **({"lineItems": drafts} if drafts else {})),
        *stage("shopify_payload", 100, lineItems=lines),
        *(stage("shopify_sync", 10, 50, 90, 100, **shop) if shop_id else stage("shopify_sync", 100)),
        *stage("image_attachment", 100, **pictures),
        *stage("background_image_processing", 100, **pictures),
        *stage("status_update", 100, lineItems=lines, **(shop if shop_id else ids)),
    ]
