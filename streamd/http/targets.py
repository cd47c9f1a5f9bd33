"""The target of a request: path and query must be UTF-8, percent-encoded or raw, with a bound on parameters.

Frameworks and transports read other bytes in ways of their own: as U+FFFD, as Latin-1, or not at all. A
subscription could then be to another topic than its client meant.
"""

from typing import Final

from ..characters import quoted
from ..errors import InvalidField
from ..transports.asgi import Scope
from .percent import decode_percent

_PARAMETERS_MAX: Final = 1_000  # ten times the topics of a subscription; decoding as many takes 5 ms
_RULE: Final = "must be UTF-8, each character as it is or percent-encoded"


def check_target(scope: Scope) -> None:
    """Check the path and the query of a request.

    Raises:
        InvalidField: one of them is not valid UTF-8; it names the parameter. Or the query has too many.
    """
    query: bytes = scope.get("query_string", b"")
    if query.count(b"&") >= _PARAMETERS_MAX:
        raise InvalidField(f"the query may have at most {_PARAMETERS_MAX} parameters", field="query")
    if query and not _is_text(query):
        for pair in query.split(b"&"):
            name, _, value = pair.partition(b"=")
            if not (_is_text(name) and _is_text(value)):
                shown = decode_percent(name.replace(b"+", b" ")).decode(errors="replace")
                raise InvalidField(f"the query parameter {quoted(shown)} {_RULE}", field=shown)
    path: bytes | None = scope.get("raw_path")
    if path is None:  # optional in ASGI; servers without it decode the path by rules of their own
        path = scope["path"].encode(errors="surrogateescape")
    if not _is_text(path):
        raise InvalidField(f"the path {_RULE}", field="path")


def _is_text(raw: bytes) -> bool:
    """Return True if bytes are UTF-8, both as they are and percent-decoded.

    The separators of a query are ASCII, so that it is UTF-8 as a whole if each of its parts is.
    """
    if b"%" not in raw and raw.isascii():
        return True
    try:
        raw.decode()
        decode_percent(raw).decode()
    except UnicodeDecodeError:
        return False
    return True
