"""Strategy generation: a strategy as text that streams while it is written (``/api/strategy``).

::

    profile.py    what a strategy is asked for with, checked field by field
    plan.py       the arithmetic: budget by channel, goal and phase, milestones, measures
      money.py targets.py recognise.py channels.py goals.py audiences.py   what it works with
    sections.py   the sections, in order; each is a step of the work
    work.py       the work: section after section through the text generator, streamed as it comes
    compose.py    the embedded rules that write the sections where no model is configured
      compose_plan.py markdown.py
    content.py    what people read meanwhile (``conf/strategy.toml``)
    views.py      the endpoints; schema.py their answers

The way of a strategy: POST, profile, task, work; then for each section a prompt, pieces, events
of text; and between two of them educational content.
"""

from ... import Service, Streamd
from ...config import StrategySettings
from ...connections import Group
from ...tasks import Kind
from ...text import make_generator
from .compose import make_rules
from .content import load_content
from .routes import KIND, make_blueprint
from .work import StrategyWork


def make(streamd: Streamd, settings: StrategySettings) -> Service:
    """Build the service.

    Raises:
        ConfigError: the settings of the text generator or the file of educational content cannot be used.
    """
    generator = make_generator(streamd.settings.text, make_rules())
    work = StrategyWork(generator, load_content(settings.content_file), settings.text_seconds)
    kind = Kind(name=KIND, work=work, timeout_seconds=settings.timeout_seconds, private=True)
    group = Group(KIND, max_lifetime_seconds=settings.max_lifetime_seconds)
    return Service(make_blueprint(streamd.runtime, group), [kind])
