"""The ``Idempotency-Key`` header of requests that create a resource, see :mod:`streamd.idempotency`."""

import re
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from quart import request
from quart_schema import document_headers

from ..errors import InvalidField
from ..idempotency import IDEMPOTENCY_KEY, check_key
from . import schema
from .problems import document_problems

_QUOTED: Final = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"')
_BARE: Final = re.compile(r'[^",]*')

View = TypeVar("View", bound=Callable[..., Any])


def document_idempotency(view: View) -> View:
    """Add the header, and the problem of a key with other content, to the view in ``/openapi.json``."""
    return document_headers(schema.IdempotencyHeaders)(document_problems(409)(view))


def idempotency_key() -> str | None:
    """Parse the ``Idempotency-Key`` of the current request, see :func:`parse_idempotency_key`."""
    return parse_idempotency_key(request.headers.getlist(IDEMPOTENCY_KEY))


def parse_idempotency_key(values: Sequence[str]) -> str | None:
    """Parse the values of ``Idempotency-Key``; None without one.

    The draft defines a string in quotes (RFC 9651 section 3.3.3). The same text without quotes, as most
    clients send it, is the same key, unless it has a comma: proxies join repeated headers with one.

    Raises:
        InvalidField: the header is repeated, or is not a key of 1 to 255 visible ASCII characters.
    """
    if not values:
        return None
    if len(values) > 1:
        raise InvalidField(
            f"{IDEMPOTENCY_KEY} must be sent once; it was sent {len(values)} times", field=IDEMPOTENCY_KEY
        )
    if quoted := _QUOTED.fullmatch(values[0]):
        return check_key(re.sub(r"\\(.)", r"\1", quoted[1]))
    if not _BARE.fullmatch(values[0]):
        raise InvalidField(
            f"{IDEMPOTENCY_KEY} must be one key; put a key with commas or quotes into quotes",
            field=IDEMPOTENCY_KEY,
        )
    return check_key(values[0])
