"""The query of a session: the area, the company and the caller; and the validation of a requested query."""

import re
from collections.abc import Collection
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from ...characters import check_text, quoted
from ...errors import InvalidField

COMPANY_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)
"""Pattern of a company's id: no separators, and never ``.`` or ``..``, which have a meaning in paths."""


class ResearchQuery(msgspec.Struct, frozen=True, rename="camel"):
    """The company and the area to research, and the caller."""

    area_id: Annotated[str, Meta(description="One of `GET /research/areas`.")]
    company_id: Annotated[str, Meta(description="Letters, digits and `. _ -`.")]
    user_role: Annotated[str, Meta(description="The caller's title, such as `Head of Sales`.")]
    user_company: Annotated[str, Meta(description="The caller's company.")]


def check_query(query: ResearchQuery, areas: Collection[str], max_chars: int) -> ResearchQuery:
    """Validate a requested query, and strip the white space around its texts.

    Args:
        query: as it was requested.
        areas: the ids of the known areas.
        max_chars: maximum length of each text.

    Raises:
        InvalidField: a text is empty, too long or not one line, the area is unknown, or the company's id has
            other characters. Its ``field`` names the field.
    """
    query = ResearchQuery(
        *(
            check_text(getattr(query, field.name).strip(), field.encode_name, max_chars=max_chars)
            for field in msgspec.structs.fields(query)
        )
    )
    if query.area_id not in areas:
        raise InvalidField(
            f"there is no area {quoted(query.area_id)}; there are {', '.join(areas)}", field="areaId"
        )
    if not COMPANY_ID.fullmatch(query.company_id):
        raise InvalidField(
            "companyId is made of letters, digits and . _ -, and begins with a letter or a digit",
            field="companyId",
        )
    return query
