"""Advice by the caller's field of work, from ``data/advice.toml``."""

from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from ....config import load_tables
from ..roles import Field

Text = Annotated[str, Meta(min_length=1)]


class Advice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Advice on one subject; ``data/advice.toml`` explains the fields."""

    name: Text
    default: Text
    fields: dict[Field, Text]

    def for_field(self, field: Field) -> str:
        """Return the advice for a caller who works in a field."""
        return self.fields.get(field, self.default)


ADVICE: Final = {
    advice.name: advice
    for advice in load_tables(Path(__file__).parent.parent / "data" / "advice.toml", Advice)
}
