"""Research (``/research``): findings on a company from many datasets, and conclusions for the caller.

==================  ================================================================================
``service``         ``make``: composes the service
``routes``          the endpoints; ``models`` their answers
``messages``        the messages of a session's stream
``query``           the validated query of a session
``job``             the work of a session: its datasets in parallel, then the conclusions
``configuration``   reads the areas file (``conf/research.toml``)
``sources``         the port of a dataset's source
``files``           datasets in files
``endpoints``       datasets behind HTTP endpoints
``reader``          datasets computed by registered functions; :func:`register_source`
``functions``       the functions that come with streamd
``templates``       texts with fields such as ``{company_id}``
``shapes``          the shapes of datasets, which rules read
``roles``           job titles: their level and field
``rules``           insights and recommendations from the findings
==================  ================================================================================

A session is a task of the kind ``research``. Its datasets are the steps, fetched in parallel. A dataset that
fails fails its step; the session fails only if all of them do.

A program adds sources of its own with :func:`register_source`, before the service is made.
"""

from .query import ResearchQuery
from .reader import Reader, register_source
from .sources import NothingKnown, SourceFailed

__all__ = ["NothingKnown", "Reader", "ResearchQuery", "SourceFailed", "register_source"]
