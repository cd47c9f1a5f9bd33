"""Configuration (layer 0): a library that declares, loads and shows settings, and knows no section.

=============  ================================================================================
``fields``     declarations: :func:`setting`, :func:`tuning`, :func:`group`, and the checks of a value
``groups``     groups that several sections embed: streams, retries
``clashes``    settings that contradict each other
``convert``    values of a file, a variable or a flag in the type of the setting
``load``       :func:`load`: defaults, file, environment and flags, with every problem at once
``reload``     :func:`plan_reload`: changes of settings while the program runs
``retired``    settings of earlier releases, and their successors
``reference``  the text of ``conf/streamd.toml``, and the settings in effect
``bind``       addresses to listen on
``origins``    origins of web pages, and names of servers
``content``    the files of ``conf/`` that services read
=============  ================================================================================

Every package declares its own section, in its module ``settings``; ``streamd.settings`` puts them together.
Imports nothing of streamd but ``streamd.errors``.
"""

from .bind import parse_bind, parse_unix_bind, unix_bind
from .clashes import Clash, check_order
from .content import content_file, load_tables, read_toml
from .convert import to_toml
from .fields import (
    INT32_MAX,
    Check,
    at_least,
    at_most,
    group,
    not_negative,
    one_of,
    positive,
    required,
    setting,
    tuning,
)
from .groups import LimitedStreamSettings, RetrySettings, StreamSettings
from .load import Loaded, SettingsError, check_settings, load
from .origins import is_host, serialize_origin
from .reload import Reload, plan_reload

__all__ = [
    "INT32_MAX",
    "Check",
    "Clash",
    "LimitedStreamSettings",
    "Loaded",
    "Reload",
    "RetrySettings",
    "SettingsError",
    "StreamSettings",
    "at_least",
    "at_most",
    "check_order",
    "check_settings",
    "content_file",
    "group",
    "is_host",
    "load",
    "load_tables",
    "not_negative",
    "one_of",
    "parse_bind",
    "parse_unix_bind",
    "plan_reload",
    "positive",
    "read_toml",
    "required",
    "serialize_origin",
    "setting",
    "to_toml",
    "tuning",
    "unix_bind",
]
