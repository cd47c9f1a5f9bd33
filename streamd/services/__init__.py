"""The five services (layer 5): one package each, listed in :data:`SERVICES`.

==================== =======================================================================
``research``         findings on a company from many datasets (``/research``)
``sentiment``        a dashboard of what is said about shares (``/api/v2``)
``strategy``         a strategy as text that streams while it is written (``/api/strategy``)
``brand_monitor``    an analysis of mentions of a brand (``/api/brand-monitor``)
``purchase_orders``  orders from a file to a shop, stage by stage (``/api/purchase-orders``)
==================== =======================================================================

A service imports public names of streamd only, as a service outside this repository would: from
``streamd`` itself, ``streamd.tasks``, ``streamd.http``, ``streamd.outbound``, ``streamd.text``,
``streamd.connections``, ``streamd.database``, ``streamd.config``, ``streamd.division``, ``streamd.errors``,
``streamd.events``, ``streamd.metrics`` and ``streamd.redis``. No service imports another.

Each package has the same modules:

============== =====================================================================================
``__init__``   the package docstring and its public names
``service``    ``make(streamd, settings) -> Service``: builds the routes, task kinds and background work
``settings``   the service's section of the configuration
``routes``     the HTTP routes
``models``     the structs of requests and responses
``job``        the work of its tasks
``store``      what it keeps: in tables of the database, or in Redis
``data/``      texts and other content
============== =====================================================================================

plus modules of its subject. A service has only those of these modules that it needs.
"""

from typing import Final

SERVICES: Final = ("research", "sentiment", "strategy", "brand_monitor", "purchase_orders")
"""The services by name: each a package with a function ``make``, and a section of the settings."""
