"""The composition of the strategy service."""

from ... import Service, Streamd
from ...computing.computer import Computer
from ...tasks import Kind
from ...text import make_generator
from .compose import make_rules
from .content import load_content
from .job import StrategyJob
from .routes import KIND, make_blueprint
from .settings import StrategySettings


def make(streamd: Streamd, settings: StrategySettings) -> Service:
    """Build the service.

    Raises:
        ConfigError: the settings of the text generator or the file of educational content are invalid.
    """
    generator = make_generator(streamd.settings.text, make_rules())
    job = StrategyJob(
        generator,
        load_content(settings.content_file),
        settings.text_seconds,
        Computer("strategies", streamd.processes),
    )
    kind = Kind(
        name=KIND,
        work=job,
        timeout_seconds=settings.timeout_seconds,
        completion_message="The strategy is complete",
        cancellation_message="The strategy was cancelled",
        private=True,
    )
    return Service(make_blueprint(streamd, settings), [kind])
