"""Strategy generation."""

from quart import Blueprint

from ...services import Services
from .. import Service


def make(services: Services) -> Service:
    """The service, for a server with these parts."""
    return Service(Blueprint("streamd_strategy", __name__))
