"""The head of a request: parsing by llhttp, and the checks that llhttp leaves to its caller.

A codec without I/O. llhttp (httptools) checks the syntax of the request line and of the fields. It is never
given bytes behind the head, because its binding cannot pause: one feed would run through every pipelined
request, and would stop at any ``Upgrade`` with the body unread. So the end of the head is found here, the
head is bounded here, and the body is framed by :mod:`.body`.

Left to us: the version (llhttp takes 0.9 and 2.0), ``Host`` (RFC 9110 section 7.2), transfer codings other
than ``chunked``, chunked HTTP/1.0 (RFC 9112 section 6.1), ``Expect``, and the form of the target (RFC 9112
section 3.2). Leniency of llhttp is off: bare LF, obs-fold, Content-Length beside Transfer-Encoding, and
characters outside the grammar are refused.
"""

import re
from typing import Final

import httptools

from ..refusals import RequestRefused, malformed
from ..target import check_target

PREFACE_HEAD: Final = b"PRI * HTTP/2.0\r\n\r\n"
"""The first part of HTTP/2's preface, which has the form of a request head (RFC 9113 section 3.4)."""

_END: Final = b"\r\n\r\n"
_FIELDS_MAX: Final = (
    100  # of a head: browsers and proxies send some thirty, and each costs time at every layer
)
_OTHER_METHOD: Final = re.compile(rb"[A-Z][A-Z0-9_-]* \S+ HTTP/1\.[01]\r\n")
_HOST: Final = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+,;=%-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?")
_ABSOLUTE: Final = re.compile(rb"https?://([^/?#]+)(/[^?]*)?(\?.*)?", re.IGNORECASE | re.DOTALL)
_CONTENT_LENGTH: Final = b"content-length"
_LENGTH_DIGITS: Final = 16  # more would be petabytes
_LENGTH_LINE: Final = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]+)\r\n", re.IGNORECASE)
_INTERPRETED: Final = frozenset(
    (
        b"host",
        b"connection",
        _CONTENT_LENGTH,
        b"transfer-encoding",
        b"expect",
        b"upgrade",
        b"sec-websocket-key",
    )
)

Headers = list[tuple[bytes, bytes]]


class RequestHead:
    """A request line and its fields, checked.

    Attributes:
        method: in upper case.
        target: in origin-form, or ``*`` of OPTIONS, or the authority of CONNECT.
        is_http_1_0: the version is 1.0, not 1.1.
        headers: in order, names in lower case.
        content_length: size of the body (bytes); None for a chunked one.
        expects_continue: the client waits for 100 before it sends the body.
        keeps_alive: the client lets the connection be reused.
        upgrade: the protocols of ``Upgrade`` in lower case, if ``Connection`` names that field; else none.
        has_websocket_key: a ``Sec-WebSocket-Key`` was sent.
    """

    __slots__ = (
        "content_length",
        "expects_continue",
        "has_websocket_key",
        "headers",
        "is_http_1_0",
        "keeps_alive",
        "method",
        "target",
        "upgrade",
    )

    def __init__(self, method: str, target: bytes, headers: Headers, *, is_http_1_0: bool) -> None:
        self.method = method
        self.target = target
        self.headers = headers
        self.is_http_1_0 = is_http_1_0
        self.content_length: int | None = 0
        self.expects_continue = False
        self.keeps_alive = not is_http_1_0
        self.upgrade: list[bytes] = []
        self.has_websocket_key = False


class RepeatedHead:
    """The head of a request with content, which the next one of its connection repeats but for its size.

    Most programs that publish send the same fields each time. Such a head is not parsed again.

    Args:
        before: the bytes in front of the digits of ``Content-Length``.
        after: those behind them.
        head: the head.

    Attributes:
        size: of the content of the last repetition (bytes).
    """

    __slots__ = ("_after", "_before", "_digits", "_fields", "_head", "_index", "size")

    def __init__(self, before: bytes, after: bytes, head: RequestHead) -> None:
        self.size = 0
        self._digits = b""  # of the size, as they were sent
        self._before = before
        self._after = after
        self._head = head
        self._fields = head.headers.copy()
        self._index = next(i for i, (name, _) in enumerate(head.headers) if name == _CONTENT_LENGTH)

    @classmethod
    def of(cls, raw: bytes, head: RequestHead) -> "RepeatedHead | None":
        """Remember a head; None for one that is not worth it.

        Args:
            raw: its bytes.
            head: the same, parsed.
        """
        if not head.content_length or head.expects_continue or head.upgrade or head.has_websocket_key:
            return None
        found = _LENGTH_LINE.search(raw)
        if found is None:
            return None
        return cls(raw[: found.start(1)], raw[found.end(1) :], head)

    def match(self, data: bytes) -> bytes | None:
        """Return the bytes behind the head if the data begins with a repetition, and set :attr:`size`."""
        before, after = self._before, self._after
        if not data.startswith(before):
            return None
        start = len(before)
        end = data.find(b"\r", start, start + _LENGTH_DIGITS)
        self._digits = digits = data[start:end]  # up to the last byte, if there is no end
        if not (digits.isdigit() and data.startswith(after, end)):
            return None
        self.size = int(digits)
        return data[end + len(after) :]

    def restore(self) -> RequestHead:
        """Return the head of the last repetition; that of a request before it must not be used any more."""
        head = self._head
        head.headers = headers = self._fields.copy()  # applications may change or keep the list
        headers[self._index] = (_CONTENT_LENGTH, self._digits)
        head.content_length = self.size
        return head


class _Fields:
    """The callbacks of the parser."""

    __slots__ = ("headers", "is_complete", "target")

    def __init__(self) -> None:
        self.target = b""
        self.headers: Headers = []
        self.is_complete = False

    def on_url(self, part: bytes) -> None:
        self.target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        self.is_complete = True


class HeadReader:
    """Reads one head from the bytes of a connection, however they are cut.

    Args:
        max_bytes: maximum size of the head, with empty lines before it.
        takes_preface: the connection may turn out to speak HTTP/2.

    Attributes:
        repeated: once the head is complete: this one, if the next one may repeat it.
    """

    __slots__ = (
        "_data",
        "_fed",
        "_fields",
        "_max_bytes",
        "_parser",
        "_skipped",
        "_takes_preface",
        "repeated",
    )

    def __init__(self, max_bytes: int, *, takes_preface: bool) -> None:
        self.repeated: RepeatedHead | None = None
        self._max_bytes = max_bytes
        self._takes_preface = takes_preface
        self._data = b""
        self._fed = 0  # number of bytes that the parser has
        self._skipped = 0
        self._fields: _Fields | None = None  # until the first bytes that are parsed

    def feed(self, data: bytes) -> tuple[RequestHead | None, bytes] | None:
        """Take the next bytes.

        Returns:
            None while the head is incomplete. Then the head and the bytes behind it; None and all bytes for
            the preface of HTTP/2.

        Raises:
            RequestRefused: the request is malformed, too large, or not supported.
        """
        searched = 0  # of the bytes before these, all but the start of an end
        if self._data:
            searched = max(0, len(self._data) - 3)
            data = self._data + data
        elif data[:1] in b"\r\n":  # an empty line before a request (RFC 9112 section 2.2)
            stripped = data.lstrip(b"\r\n")
            self._skipped += len(data) - len(stripped)
            data = stripped
        self._data = data
        end = data.find(_END, searched)
        size = len(data) if end < 0 else end + len(_END)
        if size + self._skipped > self._max_bytes:
            raise self._too_large(data[: self._max_bytes - self._skipped])
        if not data:
            return None
        if self._takes_preface and not self._skipped and PREFACE_HEAD.startswith(data[: len(PREFACE_HEAD)]):
            return (None, data) if end >= 0 else None
        if data.count(b"\n", 0, size) > _FIELDS_MAX + (
            1 if end < 0 else 2
        ):  # with the request line and the end
            raise RequestRefused(431, "too-many-fields", f"a request may have at most {_FIELDS_MAX} fields")
        self._parse(data[self._fed : size])
        self._fed = size
        if end < 0:
            return None
        head = self._interpret(data)
        self.repeated = RepeatedHead.of(data[:size], head)
        return head, data[size:]

    def _parse(self, data: bytes) -> None:
        if self._fields is None:
            self._fields = _Fields()
            self._parser = httptools.HttpRequestParser(self._fields)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass
        except httptools.HttpParserInvalidMethodError as error:
            if _OTHER_METHOD.match(self._data):
                raise RequestRefused(501, "unsupported-method", "the method is not known here") from error
            raise malformed("the request line must begin with a method in upper case") from error
        except httptools.HttpParserError as error:
            if not self._fields.is_complete:  # otherwise the transfer coding is at fault, see _interpret
                raise malformed(f"the head is not HTTP/1.1: {error}") from error

    @staticmethod
    def _too_large(head: bytes) -> RequestRefused:
        if b"\r\n" in head:
            return RequestRefused(431, "head-too-large", "the head is larger than this server takes")
        return RequestRefused(414, "target-too-long", "the target is longer than this server takes")

    def _interpret(self, data: bytes) -> RequestHead:
        """Check what llhttp does not, and derive the framing of the body."""
        fields = self._fields
        assert fields is not None
        method = self._parser.get_method()
        # Also refuses what llhttp takes besides HTTP/1.0 and 1.1: other versions and protocols, two spaces.
        line = b"%b %b HTTP/1." % (method, fields.target)
        is_http_1_0 = False
        if not (fields.is_complete and data.startswith(line + b"1\r")):
            is_http_1_0 = fields.is_complete and data.startswith(line + b"0\r")
            if not is_http_1_0:
                raise malformed("the request line must be of HTTP/1.1 or HTTP/1.0")
        head = RequestHead(method.decode("ascii"), fields.target, fields.headers, is_http_1_0=is_http_1_0)
        interpret_fields(head)
        if head.target[:1] != b"/":
            _normalize_target(head)
        if head.target[:1] == b"/":
            try:
                check_target(head.target)
            except ValueError as error:
                raise malformed(str(error)) from None
        return head


def interpret_fields(head: RequestHead) -> None:
    """Derive connection options and the framing of the body from the fields.

    Raises:
        RequestRefused: they contradict each other or HTTP.
    """
    hosts = 0
    options: list[bytes] = []
    upgrade: list[bytes] = []
    for name, value in head.headers:
        if name not in _INTERPRETED:
            continue
        if name == b"host":
            hosts += 1
            if not _HOST.fullmatch(value):
                raise malformed("Host must be a host name or an address, with or without a port")
        elif name == _CONTENT_LENGTH:
            head.content_length = int(value)  # llhttp has checked that there is one, of digits
        elif name == b"connection":
            options += [option.strip() for option in value.lower().split(b",")]
        elif name == b"upgrade":
            upgrade += [protocol.strip() for protocol in value.lower().split(b",")]
        else:
            _follow_rare(head, name, value)
    if hosts != 1 and (hosts or not head.is_http_1_0):
        raise malformed("a request must have one Host field")
    if head.content_length == 0:
        head.expects_continue = False
    if options:
        head.keeps_alive = b"close" not in options and (not head.is_http_1_0 or b"keep-alive" in options)
        if b"upgrade" in options and not head.is_http_1_0:  # RFC 9110 section 7.8: HTTP/1.0 cannot upgrade
            head.upgrade = upgrade


def _follow_rare(head: RequestHead, name: bytes, value: bytes) -> None:
    """Follow one of the fields that few requests have."""
    if name == b"sec-websocket-key":
        head.has_websocket_key = True
    elif name == b"expect":
        if value.lower() != b"100-continue":
            raise RequestRefused(417, "unknown-expectation", "Expect may only be 100-continue")
        head.expects_continue = not head.is_http_1_0
    elif head.is_http_1_0:
        raise malformed("HTTP/1.0 has no Transfer-Encoding")
    elif head.content_length is None or value.lower() != b"chunked":  # a second field is a second coding
        raise RequestRefused(501, "unknown-transfer-coding", "Transfer-Encoding must be chunked alone")
    else:
        head.content_length = None


def _normalize_target(head: RequestHead) -> None:
    """Turn absolute-form into origin-form, with the authority as Host (RFC 9112 section 3.2.2)."""
    if head.target == b"*" and head.method == "OPTIONS":
        return
    if head.method == "CONNECT":
        return
    absolute = _ABSOLUTE.fullmatch(head.target)
    if absolute is None or not _HOST.fullmatch(absolute[1]):
        raise malformed("the target must be a path or a URL of this server")
    head.target = (absolute[2] or b"/") + (absolute[3] or b"")
    fields = [(name, value) for name, value in head.headers if name != b"host"]
    head.headers = [(b"host", absolute[1]), *fields]
