"""Changes of settings while the program runs."""

from collections.abc import Collection
from typing import Generic, TypeVar

import attrs

from .fields import settings_of, value_at
from .load import check_settings, with_values

S = TypeVar("S", bound=attrs.AttrsInstance)


@attrs.frozen
class Reload(Generic[S]):
    """The difference between the settings in effect and those of a new configuration.

    Args:
        settings: those in effect, with every change that can be applied now.
        applied: the paths of these changes.
        postponed: the paths of changes that need a restart.
    """

    settings: S
    applied: tuple[str, ...]
    postponed: tuple[str, ...]


def plan_reload(running: S, wanted: S, *, fixed: Collection[str] = ()) -> Reload[S]:
    """Compare the settings in effect with those of a new configuration.

    Args:
        running: the settings in effect.
        wanted: the new ones.
        fixed: paths of settings whose change needs a restart this time.

    Raises:
        SettingsError: the changes contradict settings that would have to change with them, by a restart.
    """
    changed = [
        each
        for each in settings_of(type(running)).values()
        if value_at(running, each.attribute) != value_at(wanted, each.attribute)
    ]
    now = [each for each in changed if each.reload and each.path not in fixed]
    settings = with_values(running, {each.attribute: value_at(wanted, each.attribute) for each in now})
    check_settings(settings)
    postponed = tuple(each.path for each in changed if each not in now)
    return Reload(settings, tuple(each.path for each in now), postponed)
