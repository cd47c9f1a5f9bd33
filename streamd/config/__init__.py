"""Configuration (layer 0): every setting, how it is read, and how it is shown.

``settings`` declares the settings, and ``services`` those of tasks and of the services built on them;
``load`` reads them from a file, the environment and flags; ``combinations`` lists what cannot be;
``reference`` writes ``conf/streamd.toml`` and what is in effect; ``content`` finds the files of ``conf/``
that services read. Imports nothing of streamd but ``streamd.errors``.
"""

from .bind import parse_bind
from .content import content_file
from .load import SettingsError, check_settings, load_settings
from .services import (
    BrandMonitorSettings,
    PurchaseOrderSettings,
    ResearchSettings,
    SentimentSettings,
    StoreSettings,
    StrategySettings,
    TaskSettings,
    TextSettings,
)
from .settings import (
    ConnectionSettings,
    DemoSettings,
    EventSettings,
    HubSettings,
    LoggingSettings,
    LogSettings,
    MetricsSettings,
    PollSettings,
    ServerSettings,
    Settings,
)

__all__ = [
    "BrandMonitorSettings",
    "ConnectionSettings",
    "DemoSettings",
    "EventSettings",
    "HubSettings",
    "LogSettings",
    "LoggingSettings",
    "MetricsSettings",
    "PollSettings",
    "PurchaseOrderSettings",
    "ResearchSettings",
    "SentimentSettings",
    "ServerSettings",
    "Settings",
    "SettingsError",
    "StoreSettings",
    "StrategySettings",
    "TaskSettings",
    "TextSettings",
    "check_settings",
    "content_file",
    "load_settings",
    "parse_bind",
]
