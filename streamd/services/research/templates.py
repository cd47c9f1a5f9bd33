"""Texts with ``{company_id}`` and its like: what they may hold, and how they are filled safely."""

import re
from collections.abc import Callable, Collection
from string import Formatter
from typing import Final
from urllib.parse import quote, urlsplit

import attrs

COMPANY_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)
"""What a company's id may be: no separators, and never ``.`` or ``..``, which have a meaning in paths."""

IDS: Final = frozenset({"company_id", "area_id"})
"""Fields whose characters are known: they may stand in a path."""

FIELDS: Final = IDS | {"user_role", "user_company"}
"""All fields; the last two are whatever the caller wrote, and may stand where they can be quoted whole."""


@attrs.frozen
class Query:
    """What is asked, by whom. The ids have been validated; role and company are the caller's own words."""

    area_id: str
    company_id: str
    user_role: str = ""
    user_company: str = ""


@attrs.frozen
class Template:
    """A text with fields. Make one with :meth:`parse`, which checks everything."""

    text: str
    parts: tuple[tuple[str, str | None], ...]  # literal text, and the field behind it

    @classmethod
    def parse(cls, text: str, allowed: Collection[str]) -> "Template":
        """Read a template in the style of :meth:`str.format`; ``{{`` is a brace.

        Raises:
            ValueError: a field that is not ``allowed``, or more than a name between the braces.
        """
        parts = []
        for literal, field, spec, conversion in Formatter().parse(text):
            if field is not None and (spec or conversion or field not in allowed):
                shown = field + (f"!{conversion}" if conversion else "") + (f":{spec}" if spec else "")
                known = ", ".join(f"{{{name}}}" for name in sorted(allowed))
                raise ValueError(f"{{{shown}}} is no field here; there are {known}")
            parts.append((literal, field))
        return cls(text, tuple(parts))

    @property
    def fields(self) -> frozenset[str]:
        return frozenset(field for _, field in self.parts if field is not None)

    def fill(self, query: Query, convert: Callable[[str], str] = str) -> str:
        """The text for one query; ``convert`` is applied to what is filled in, not to the text itself."""
        return "".join(
            literal + (convert(getattr(query, field)) if field is not None else "")
            for literal, field in self.parts
        )


@attrs.frozen
class UrlTemplate:
    """The URL of an endpoint. Where it leads is fixed; only its path and its query have fields."""

    host: str  # with the port, as it is shown to people
    template: Template

    @classmethod
    def parse(cls, text: str) -> "UrlTemplate":
        """Read and check a URL.

        Raises:
            ValueError: no http or https URL, a field before the path, or the caller's own words in the
                path, where dots and slashes would lead elsewhere.
        """
        template = Template.parse(text, FIELDS)
        parts = urlsplit(text)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("write a URL with http:// or https:// and a host")
        if Template.parse(parts.netloc, FIELDS).fields:
            raise ValueError("a field may stand in the path and in the query, not in the host")
        if parts.username is not None:
            raise ValueError("a URL is shown and logged: hand over keys with headers_from_env")
        if parts.fragment:
            raise ValueError("a fragment (#) is never sent; leave it out")
        if not (parts.port is None or parts.port > 0):  # reading the port raises when it is none
            raise ValueError("the port must be greater than 0")
        Template.parse(parts.path, IDS)
        return cls(parts.netloc, template)

    def fill(self, query: Query) -> str:
        """The URL for one query, with every character of the values quoted that could mean something."""
        return self.template.fill(query, lambda value: quote(value, safe=""))
