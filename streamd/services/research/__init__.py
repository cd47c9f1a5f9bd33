"""Research: findings on a company from many datasets, and what they mean for whoever asks.

==================  ==========================================================================
``configuration``   ``conf/research.toml``: areas and datasets, and every mistake in them
``sources``         the values that it becomes, and :func:`register_source`
``templates``       texts with ``{company_id}``: where fields may stand, and how they are filled
``shapes``          what datasets say, as far as rules read it
``files``           datasets in files
``endpoints``       datasets behind HTTP endpoints
``functions``       datasets that are computed: the functions that come with streamd
``inputs``          what functions may read; the fetching of any dataset
``roles``           what a job title says
``rules``           insights and recommendations out of the findings
``requests``        what may be asked
``work``            the work of a session: all of that together
``session``         a session as clients see it
``views``           ``/research``
==================  ==========================================================================

A session is a task of the kind ``research``: its datasets are the steps, fetched side by side; one that
fails fails its step, and the session only if all do.
"""

from pathlib import Path

from ... import Service, Streamd
from ...config import content_file
from ...tasks import Kind
from . import functions
from .configuration import load_areas
from .job import Research
from .reader import Inputs
from .routes import KIND, make_blueprint
from .settings import ResearchSettings
from .sources import NothingKnown, SourceFailed, register_source
from .templates import Query

__all__ = ["Inputs", "NothingKnown", "Query", "SourceFailed", "functions", "make", "register_source"]


def make(streamd: Streamd, settings: ResearchSettings) -> Service:
    """Build the service.

    Raises:
        ConfigError: the areas file cannot be used.
    """
    path = Path(settings.areas_file) if settings.areas_file else content_file("research.toml")
    areas = load_areas(path, settings)
    research = Research(areas, settings, streamd.settings.tasks.max_result_bytes)
    kind = Kind(
        name=KIND,
        work=research.work,
        timeout_seconds=settings.timeout_seconds,
        keep_seconds=settings.keep_seconds,
        max_kept=settings.max_sessions,
        compress_results=settings.compress_results,
        private=True,
    )
    return Service(make_blueprint(streamd, settings, areas), [kind])
