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

Programs that publish send the same head again and again. What follows from a head and its connection alone is
derived once: the scope, the verdict of the guard, the route, the parsed fields. The rest of the way, from the
request id over limits, caller and rights to the answer, is that of any request::

    HTTPExchange.begin_again -- Guard: a new request id -- door: the same HTTPRequest ------- handler

An application that a program puts in front of streamd's sees every request, so that there are no such ways.
"""
