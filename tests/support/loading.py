"""Settings that are loaded, and the problems of those that are refused."""

from typing import Any

import pytest

from streamd.config import SettingsError
from streamd.config.fields import settings_of
from streamd.settings import Settings, load_settings

SETTINGS = settings_of(Settings)
EVERY_SETTING = pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)


def problems(*arguments: Any) -> dict[str | None, str]:
    """Load, and return the problems by path."""
    with pytest.raises(SettingsError) as caught:
        load_settings(*arguments)
    assert caught.value.field == caught.value.problems[0].path
    assert caught.value.detail.splitlines() == [problem.text for problem in caught.value.problems]
    found = {problem.path: problem.text for problem in caught.value.problems}
    assert len(found) == len(caught.value.problems)
    return found
