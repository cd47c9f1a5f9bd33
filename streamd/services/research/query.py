"""What may be asked: the request, and every reason to refuse it."""

import unicodedata
from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta

from ...errors import InvalidField
from .sources import Area
from .templates import COMPANY_ID


class StartResearch(msgspec.Struct, frozen=True):
    """What is to be found out, and for whom."""

    areaId: Annotated[str, Meta(description="One of `GET /research/areas`.")]  # noqa: N815 - as it is on the wire
    companyId: Annotated[str, Meta(description="Letters, digits and `. _ -`.")]  # noqa: N815
    userRole: Annotated[str, Meta(description="The caller's title, such as `Head of Sales`.")]  # noqa: N815
    userCompany: Annotated[str, Meta(description="The caller's company.")]  # noqa: N815


def check_request(body: StartResearch, areas: Mapping[str, Area], max_chars: int) -> StartResearch:
    """The request as it is worked on: texts without the white space around them.

    Raises:
        InvalidField: names the field that cannot be accepted.
    """
    checked = StartResearch(
        **{name: _text(name, getattr(body, name), max_chars) for name in StartResearch.__struct_fields__}
    )
    if checked.areaId not in areas:
        raise InvalidField(
            f"there is no area {checked.areaId!r}; there are {', '.join(areas)}", field="areaId"
        )
    if not COMPANY_ID.fullmatch(checked.companyId):
        raise InvalidField(
            "companyId is made of letters, digits and . _ -, and begins with a letter or a digit",
            field="companyId",
        )
    return checked


def _text(field: str, value: str, max_chars: int) -> str:
    value = value.strip()
    if not value:
        raise InvalidField(f"{field} is empty", field=field)
    if len(value) > max_chars:
        raise InvalidField(f"{field} may have at most {max_chars} characters", field=field)
    if any(unicodedata.category(char) == "Cc" for char in value):
        raise InvalidField(f"{field} must be one line of text", field=field)
    return value
