"""The HTTP API, as a Quart-Trio blueprint.

===============  ============================================================================
``responses``    :class:`EventStream`, which a view returns to stream
``requests``     what a query string, a header or a body may say
``problems``     every error as ``application/problem+json``
``events``       ``/events``: subscribe, poll, publish
``tasks``        ``/tasks``: make, follow, work on and cancel long work; a task's stream for other views
``direct``       ``GET /events`` past the web framework
``operations``   health, metrics, connections
``observe``      request times, and cross-origin access
``schema``       the shapes that ``/openapi.json`` shows
``openapi``      the document itself
===============  ============================================================================
"""

from .responses import EventStream, EventStreamHTTPConnection

__all__ = ["EventStream", "EventStreamHTTPConnection"]
