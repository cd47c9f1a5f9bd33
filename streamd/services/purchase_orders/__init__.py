"""Purchase orders: from a CSV file, JSON or e-mail to a shop, in stages that the merchant can follow.

::

    POST - routes - checking, documents, sheet   an order that is plainly invalid is refused here
              |
              + store (received) - task - job    the stages, each a step of the task
                                    |
                                    + present    stage, progress, completion, error, by the outbox

===================  ============================================================================
``service``          ``make``: builds the service
``routes``           the HTTP routes                 ``models``   their JSON bodies and answers
``checking``         the check of a document at its receipt
``receiving``        an order and its task, once for each idempotency key
``job``              the stages of one order
``ending``           the end of an order             ``recovery`` orders that a crash left without a task
``merchant_events``  the merchant's events, and their publication with the task
``order``            the order, its lines, the names of the stages
``documents``        charsets, orders as JSON        ``tabular``  orders as CSV
``mail``             orders as plain text            ``parsing``  orders in plain text, by the text generator
``confidence``       the confidence in an order
``sheet``            cells with their locations, converted to an order
``amounts``          amounts of money, quantities    ``columns``  names of columns
``normalize``        SKUs, currency, totals          ``enrich``   category, tags, description
``store``            SQLite, Redis for many nodes   ``tables``   the tables of SQLite
``stored``           reading of orders               ``images``   verification of image URLs
``shop``             the shop's request and retries  ``identity`` the merchant of a request
===================  ============================================================================

A program that processes orders itself publishes with :class:`MerchantEvents`, found as
``app.extensions[MERCHANT_EVENTS]``.

Several nodes can share the orders in Redis. The node that receives an order has a minute to create its task,
if no other node is asked for the order's key meanwhile; then the node that holds the lease of the recovery
looks after it.

With keys, the merchant is that of the caller's token, here, on ``/events`` and on ``/tasks``; an
administrator names one in the query. On a server without keys every request does, without any proof.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .identity import CallersMerchant, MerchantIdentity
    from .job import KIND
    from .merchant_events import MerchantEvents
    from .service import MERCHANT_EVENTS, make

_EXPORTS = {
    "KIND": "job",
    "MERCHANT_EVENTS": "service",
    "CallersMerchant": "identity",
    "MerchantEvents": "merchant_events",
    "MerchantIdentity": "identity",
    "make": "service",
}

__all__ = [
    "KIND",
    "MERCHANT_EVENTS",
    "CallersMerchant",
    "MerchantEvents",
    "MerchantIdentity",
    "make",
]


def __getattr__(name: str) -> Any:
    """Import a public name on first use: a worker process, which only reads orders, needs no server."""
    if name in _EXPORTS:
        from importlib import import_module

        return getattr(import_module(f"{__name__}.{_EXPORTS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
