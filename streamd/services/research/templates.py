"""Templates: texts with fields such as ``{company_id}``, checked when read and filled safely for a query."""

from collections.abc import Callable, Collection
from string import Formatter
from typing import Final
from urllib.parse import quote, urlsplit

import attrs

from .query import ResearchQuery

IDS: Final = frozenset({"company_id", "area_id"})
"""Fields with a limited set of characters, which may stand in a path."""

FIELDS: Final = IDS | {"user_role", "user_company"}
"""All fields. The last two hold any text of the caller, and may stand only where it is quoted as a whole."""


@attrs.frozen
class Template:
    """A text with fields; :meth:`parse` makes one."""

    text: str  # in the syntax of str.format, with names only
    fields: frozenset[str]

    @classmethod
    def parse(cls, text: str, allowed: Collection[str]) -> "Template":
        """Read a template in the syntax of :meth:`str.format`; ``{{`` is a brace.

        Raises:
            ValueError: a field is not ``allowed``, or a brace holds more than a name.
        """
        fields = set()
        for _, field, spec, conversion in Formatter().parse(text):
            if field is None:
                continue
            if spec or conversion or field not in allowed:
                shown = field + (f"!{conversion}" if conversion else "") + (f":{spec}" if spec else "")
                known = ", ".join(f"{{{name}}}" for name in sorted(allowed))
                raise ValueError(f"{{{shown}}} is no field here; there are {known}")
            fields.add(field)
        return cls(text, frozenset(fields))

    def fill(self, query: ResearchQuery, convert: Callable[[str], str] = str) -> str:
        """Return the text for a query. ``convert`` is applied to the values, not to the text around them."""
        return self.text.format_map({field: convert(getattr(query, field)) for field in self.fields})


@attrs.frozen
class UrlTemplate:
    """The URL of an endpoint. Its host is fixed; only its path and query have fields."""

    host: str  # with the port
    template: Template

    @classmethod
    def parse(cls, text: str) -> "UrlTemplate":
        """Read and check a URL.

        Raises:
            ValueError: the URL is not http or https, has a field before the path, or has text of the caller
                in the path, where dots and slashes would lead elsewhere.
        """
        template = Template.parse(text, FIELDS)
        parts = urlsplit(text)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("write a URL with http:// or https:// and a host")
        if Template.parse(parts.netloc, FIELDS).fields:
            raise ValueError("a field may stand in the path and in the query, not in the host")
        if parts.username is not None:
            raise ValueError("a URL is shown and logged: pass keys with headers_from_env")
        if parts.fragment:
            raise ValueError("a fragment (#) is never sent; leave it out")
        if not (parts.port is None or parts.port > 0):  # reading an invalid port raises ValueError, too
            raise ValueError("the port must be greater than 0")
        Template.parse(parts.path, IDS)
        return cls(parts.netloc, template)

    def fill(self, query: ResearchQuery) -> str:
        """Return the URL for a query, with every reserved character of the values quoted."""
        return self.template.fill(query, lambda value: quote(value, safe=""))
