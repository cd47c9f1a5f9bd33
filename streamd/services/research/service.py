"""The composition of the research service."""

from pathlib import Path
from typing import Any

import attrs

from ... import Service, Streamd
from ...config import content_file
from ...tasks import Kind
from .configuration import load_areas
from .job import ResearchJob
from .messages import present
from .routes import KIND, make_blueprint
from .settings import ResearchSettings


def make(streamd: Streamd, settings: ResearchSettings) -> Service:
    """Build the service.

    Raises:
        ConfigError: the areas file is invalid.
    """
    path = Path(settings.areas_file) if settings.areas_file else content_file("research.toml")
    areas = load_areas(path, settings)
    kind = Kind(
        name=KIND,
        work=ResearchJob(areas, settings, streamd.settings.tasks.max_result_bytes),
        timeout_seconds=settings.timeout_seconds,
        keep_seconds=settings.keep_seconds,
        max_kept=settings.max_sessions,
        compress_results=settings.compress_results,
        completion_message="The research is complete",
        cancellation_message="The session was cancelled",
        present=present,
        private=True,
    )

    def apply_settings(changed: Any) -> None:
        streamd.tasks.replace(attrs.evolve(kind, max_kept=changed.research.max_sessions))

    return Service(make_blueprint(streamd, settings, areas), [kind], apply_settings=apply_settings)
