"""Settings without the services, for tests that their background work would disturb."""

from typing import Any, Final

import attrs

from streamd.services import SERVICES
from streamd.settings import Settings

NO_SERVICES: Final[dict[str, Any]] = {
    name: attrs.evolve(getattr(Settings(), name), enabled=False) for name in SERVICES
}
"""Every service's section, switched off: ``Settings(**NO_SERVICES)``."""
