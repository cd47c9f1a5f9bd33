"""Health and metrics."""

from typing import Annotated

from msgspec import Meta, Struct

from .common import Id, MediaTypes


class HealthSchema(Struct):
    """The server is up."""

    status: str


class Readiness(Struct):
    """The server accepts requests."""

    status: str
    head: Annotated[Id, Meta(description="The newest event's id.")]
    durability: Annotated[str, Meta(description="The failures that an acknowledged event survives.")]


class MetricsText(Struct):
    """The Prometheus text format."""

    @classmethod
    def __media_types__(cls) -> MediaTypes:
        return {"text/plain": (str,)}
