"""Configuration (layer 0): every setting, how it is read, and how it is shown.

``settings`` declares the settings; ``load`` reads them from a file, the environment and flags;
``combinations`` lists what cannot be; ``reference`` writes ``conf/streamd.toml`` and what is in
effect. Imports nothing of streamd but ``streamd.errors``.
"""

from .bind import parse_bind
from .load import SettingsError, check_settings, load_settings
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
    "ConnectionSettings",
    "DemoSettings",
    "EventSettings",
    "HubSettings",
    "LogSettings",
    "LoggingSettings",
    "MetricsSettings",
    "PollSettings",
    "ServerSettings",
    "Settings",
    "SettingsError",
    "check_settings",
    "load_settings",
    "parse_bind",
]
