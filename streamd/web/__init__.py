"""The page at ``/``: live figures, the stream's own state, and what is published, line by line.

::

    assets.py   the files of static/, read once, with their types and entity tags
    views.py    the blueprint: / and /static/…, and the headers that keep the page to itself
    static/     the page: HTML, CSS and ES modules as they are served; there is no build step

The page talks to streamd only through the public HTTP API, with relative addresses. May import Quart; nothing
else of streamd.
"""

from .views import web

__all__ = ["web"]
