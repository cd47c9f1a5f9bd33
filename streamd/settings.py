"""The root of the configuration, one line a section; each package declares its own."""

from collections.abc import Mapping
from pathlib import Path

import attrs

from .config import load
from .demo.settings import DemoSettings
from .logs import LoggingSettings
from .runtime import RuntimeSettings
from .server.settings import ServerSettings
from .services.brand_monitor.settings import BrandMonitorSettings
from .services.purchase_orders.settings import PurchaseOrderSettings
from .services.research.settings import ResearchSettings
from .services.sentiment.settings import SentimentSettings
from .services.strategy.settings import StrategySettings


def _server_first(_: type, fields: list["attrs.Attribute[object]"]) -> list["attrs.Attribute[object]"]:
    """Put the section that operators change most at the head of the reference."""
    return sorted(fields, key=lambda field: field.name != "server")


@attrs.frozen(kw_only=True, field_transformer=_server_first)
class Settings(RuntimeSettings):
    """All sections of the streamd server."""

    server: ServerSettings = attrs.field(factory=ServerSettings)
    logging: LoggingSettings = attrs.field(factory=LoggingSettings)
    demo: DemoSettings = attrs.field(factory=DemoSettings)
    research: ResearchSettings = attrs.field(factory=ResearchSettings)
    sentiment: SentimentSettings = attrs.field(factory=SentimentSettings)
    strategy: StrategySettings = attrs.field(factory=StrategySettings)
    brand_monitor: BrandMonitorSettings = attrs.field(factory=BrandMonitorSettings)
    purchase_orders: PurchaseOrderSettings = attrs.field(factory=PurchaseOrderSettings)

    @classmethod
    def around(cls, runtime: RuntimeSettings) -> "Settings":
        """Return ``runtime`` with every section: the others have their defaults if it lacks them."""
        if isinstance(runtime, cls):
            return runtime
        return cls(**{field.name: getattr(runtime, field.name) for field in attrs.fields(RuntimeSettings)})


def load_settings(
    path: Path | None = None,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, object] | None = None,
) -> Settings:
    """Load the settings of the server; see :func:`streamd.config.load` for the arguments.

    Raises:
        SettingsError: a setting is unknown, has a wrong value, or contradicts another.
    """
    return load(Settings, path, environ, overrides).settings
