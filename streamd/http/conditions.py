"""Conditional requests: ``If-Match`` and ``If-None-Match`` against an ``ETag`` (RFC 9110 section 13).

==================  ============  =====================  ==========================
condition           comparison    true                   false
==================  ============  =====================  ==========================
``If-Match``        strong        go on                  412
``If-None-Match``   weak          go on                  GET, HEAD: 304; others: 412
==================  ============  =====================  ==========================

A change is checked together with its condition, in the transaction that stores it. An answer other than 2xx
does not depend on conditions (section 13.2.1).
"""

import re
from collections.abc import Callable
from typing import Any, Final, Self, TypeVar

import attrs
from quart import request
from quart.wrappers import Response
from quart_schema import document_headers

from ..errors import PreconditionFailed
from ..tasks import Task
from .hot.answer import HTTPAnswer
from .problems import document_problems
from .schema import ConditionHeaders

IF_MATCH: Final = "If-Match"
IF_NONE_MATCH: Final = "If-None-Match"
_TAG: Final = re.compile(r'(?P<weak>W/)?"(?P<opaque>[\x21\x23-\x7e\x80-\xff]*)"')
_ANY: Final = "*"
_NOT_MODIFIED: Final = 304
_CONTENT_FIELDS: Final = frozenset({b"content-type", b"content-length"})

AnyResponse = TypeVar("AnyResponse", bound=Response)
View = TypeVar("View", bound=Callable[..., Any])


@attrs.frozen
class Conditions:
    """The conditions of one request.

    Args:
        if_match, if_none_match: the values of the header fields, joined by commas; None without one.
    """

    if_match: str | None = None
    if_none_match: str | None = None

    @classmethod
    def of_request(cls) -> Self:
        """Read the conditions of the current request."""
        return cls.of(request.headers)

    @classmethod
    def of(cls, headers: Any) -> Self:
        """Read the conditions among header fields, which are looked up in lower case."""
        return cls(_joined(headers, IF_MATCH.lower()), _joined(headers, IF_NONE_MATCH.lower()))

    def is_unchanged(self, etag: str) -> bool:
        """Return True if the client of a safe request has the representation with an ``ETag`` already.

        Raises:
            PreconditionFailed: it asks for another one.
        """
        self._check_match(etag)
        return self.if_none_match is not None and _has(self.if_none_match, etag, weakly=True)

    def check(self, etag: str) -> None:
        """Check a change of the resource that has an ``ETag``.

        Raises:
            PreconditionFailed: the resource is not the one that the client wants to change.
        """
        self._check_match(etag)
        if self.if_none_match is not None and _has(self.if_none_match, etag, weakly=True):
            raise PreconditionFailed(
                f"the resource has the ETag {etag}, which {IF_NONE_MATCH} excludes", field=IF_NONE_MATCH
            )

    def check_task(self, task: Task) -> None:
        """Check a change of a task, as :meth:`check` does; any thread may call it.

        Raises:
            PreconditionFailed: the task has another version.
        """
        self.check(task_etag(task))

    def _check_match(self, etag: str) -> None:
        if self.if_match is not None and not _has(self.if_match, etag, weakly=False):
            raise PreconditionFailed(
                f"the resource has the ETag {etag}, which {IF_MATCH} does not name", field=IF_MATCH
            )


def document_conditions(view: View) -> View:
    """Add the header fields, and the problem of a false condition, to the view in ``/openapi.json``."""
    return document_headers(ConditionHeaders)(document_problems(412)(view))


def task_etag(task: Task) -> str:
    """Return the ``ETag`` of a task, which is its version."""
    return f'"{task.version}"'


def conditional(response: AnyResponse) -> AnyResponse:
    """Return the answer to a GET or HEAD, or make it 304 if the client has the one with its ``ETag``.

    The 304 has all header fields but those of the content, so ``ETag``, ``Vary`` and ``Cache-Control``, too
    (RFC 9110 section 15.4.5).

    Raises:
        PreconditionFailed: the client asks for another one.
    """
    if Conditions.of_request().is_unchanged(response.headers["ETag"]):
        response.status_code = _NOT_MODIFIED
        response.set_data(b"")
        for name in ("Content-Type", "Content-Length"):
            response.headers.pop(name, None)
    return response


def conditional_answer(headers: Any, answer: HTTPAnswer) -> HTTPAnswer:
    """Return the answer of a handler to a GET or HEAD, or its 304, as :func:`conditional` does.

    Args:
        headers: of the request.
        answer: the answer, with an ``ETag``.

    Raises:
        PreconditionFailed: the client asks for another one.
    """
    if not Conditions.of(headers).is_unchanged(dict(answer.headers)[b"etag"].decode()):
        return answer
    kept = [field for field in answer.headers if field[0] not in _CONTENT_FIELDS]
    return HTTPAnswer(_NOT_MODIFIED, kept, None)


def _joined(headers: Any, name: str) -> str | None:
    values: list[str] = headers.getlist(name)
    return ", ".join(values) if values else None


def _has(tags: str, etag: str, *, weakly: bool) -> bool:
    """Return True if a list of entity tags has one, or is ``*`` (RFC 9110 section 8.8.3.2)."""
    if tags.strip() == _ANY:
        return True
    own = _TAG.fullmatch(etag)
    return own is not None and any(
        tag["opaque"] == own["opaque"] and (weakly or not (tag["weak"] or own["weak"]))
        for tag in _TAG.finditer(tags)
    )
