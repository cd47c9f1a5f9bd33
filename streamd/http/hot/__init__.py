"""The hot routes: served on plain ASGI, past the web framework, which would take most of their CPU time.

::

                        +-- door ------------------+
    scope -- Guard -----+                          +--- handler(HTTPRequest) -> HTTPAnswer | StreamRequest
                        +-- Quart -- view ---------+
                            (hooks of a program,
                             other methods, errors)

============  ====================================================================================
``request``   :class:`HTTPRequest`: what a handler reads, from a scope and a body
``answer``    :class:`HTTPAnswer`: status, headers and body
``body``      bodies as ASGI servers hand them over
``view``      the Quart view of a handler: marks the route as hot, and is its second door
``table``     which paths and methods are hot
``door``      :class:`HotRoutes`: the ASGI application with the first door
============  ====================================================================================

A handler is an async function, named and documented as a view, that takes an :class:`HTTPRequest` and the
parameters of the path. It returns an :class:`HTTPAnswer`, or a checked
:class:`~streamd.transports.StreamRequest` to be served as an event stream; it raises
:class:`~streamd.errors.StreamdError`. Both doors call the same handler; limits, CORS, problems, metrics and
log lines come from the same functions.
"""
