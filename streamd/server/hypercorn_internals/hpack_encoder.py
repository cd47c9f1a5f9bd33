"""Encoding of the heads of answers (HPACK, RFC 7541): one or two look-ups a field.

The ``hpack`` library searches its table, and computes Huffman code, for each field of each head. A server
sends most of its fields with each answer, and some values just once. So this process keeps the encodings of
the fields that it has sent lately. A field that it sends for the first time is sent as it is: it may never
come again, and would displace others from the connection's table. From the second time on it enters there.
"""

from collections import OrderedDict
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from h2.exceptions import ProtocolError
from hpack.hpack import encode_integer
from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from hpack.table import HeaderTable

from .hpack_forms import ENTRY_BYTES, IS_ADDED, IS_HUFFMAN, IS_INDEXED, IS_NEVER_INDEXED, IS_UPDATE

TABLE_BYTES_MAX: Final = 4_096  # of a connection's table: clients may allow more, which nobody needs

_Entry = tuple[bytes, bytes]
_FIELDS_KEPT: Final = 512  # encodings in this process
_VALUE_BYTES_MAX: Final = 512  # of a field whose encoding is kept
_STATIC: Final = HeaderTable.STATIC_TABLE_MAPPING
_FIRST: Final = HeaderTable.STATIC_TABLE_LENGTH + 1  # index of the newest entry of the connection's table
_HUFFMAN: Final = HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH)

# Secrets, which must not be compressed together with what an attacker chooses (RFC 7541 section 7.1.3).
_SENSITIVE: Final = frozenset({b"authorization", b"proxy-authorization", b"cookie", b"set-cookie"})
# They are left out (RFC 9113 section 8.2.2).
_CONNECTION_FIELDS: Final = frozenset(
    {b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"}
)


def _integer(first: int, prefix_bits: int, value: int) -> bytes:
    if value < (1 << prefix_bits) - 1:
        return bytes([first | value])
    encoded = encode_integer(value, prefix_bits)
    encoded[0] |= first
    return bytes(encoded)


_ENTRIES_MAX: Final = TABLE_BYTES_MAX // ENTRY_BYTES
_INDEXED: Final = [_integer(IS_INDEXED, 7, index) for index in range(_FIRST + _ENTRIES_MAX)]


class _Field:
    """A field, and its encodings.

    Args:
        name, value: as sent.

    Attributes:
        entry: the field as an entry of the table; None for a secret.
        size: of the entry (bytes).
        complete: its encoding as an entry of the static table; empty if there is none.
        literal: its encoding that does not change the table.
        is_known: it was sent before.
    """

    __slots__ = ("_added", "complete", "entry", "is_known", "literal", "size")

    def __init__(self, name: bytes, value: bytes) -> None:
        is_secret = name in _SENSITIVE
        index, values = _STATIC.get(name, (0, {}))
        self.entry = None if is_secret else (name, value)
        self.size = len(name) + len(value) + ENTRY_BYTES
        self.complete = _INDEXED[values[value]] if value in values else b""
        self.literal = _integer(IS_NEVER_INDEXED if is_secret else 0, 4, index)
        self.literal += b"" if index else _integer(0, 7, len(name)) + name
        self.literal += _integer(0, 7, len(value)) + value
        self.is_known = False
        self._added = b""

    @property
    def added(self) -> bytes:
        """Its encoding that adds it to the table."""
        if not self._added and self.entry is not None:
            name, value = self.entry
            index, _ = _STATIC.get(name, (0, {}))
            self._added = _integer(IS_ADDED, 6, index) + (b"" if index else _string(name)) + _string(value)
        return self._added


def _string(text: bytes) -> bytes:
    """Encode a string in the shorter one of its two forms."""
    coded = _HUFFMAN.encode(text)
    if len(coded) < len(text):
        return _integer(IS_HUFFMAN, 7, len(coded)) + coded
    return _integer(0, 7, len(text)) + text


def _make_field(name: bytes, value: bytes) -> _Field | None:
    """Make a field as it may be sent on HTTP/2; None for one that must be left out.

    Raises:
        ProtocolError: it must not be sent.
    """
    written, name, value = name, name.strip().lower(), value.strip()
    if not name or (name.startswith(b":") and name != written):
        raise ProtocolError(f"A field has a wrong name: {written!r}")
    if name == b"te" and value.lower() != b"trailers":
        raise ProtocolError("A field TE must have the value trailers")
    return None if name in _CONNECTION_FIELDS else _Field(name, value)


_kept_field: Final = lru_cache(_FIELDS_KEPT)(_make_field)


class FieldEncoder:
    """The encoder of one connection, in place of hpack's."""

    __slots__ = ("_added", "_bytes", "_entries", "_max_bytes", "_updates")

    def __init__(self) -> None:
        self._entries: OrderedDict[_Entry, int] = OrderedDict()  # with their numbers, the oldest one first
        self._added = 0  # the number of the newest entry
        self._bytes = 0
        self._max_bytes = TABLE_BYTES_MAX
        self._updates: list[int] = []  # sizes that the client must be told: the smallest, and the last one

    @property
    def header_table_size(self) -> int:
        """The maximum size of the table (bytes)."""
        return self._max_bytes

    @header_table_size.setter
    def header_table_size(self, value: int) -> None:
        size = min(value, TABLE_BYTES_MAX)
        if size == self._max_bytes and not self._updates:
            return
        smallest = min([size, *self._updates])
        self._updates = [size] if smallest == size else [smallest, size]
        self._max_bytes = size
        self._evict()

    def encode(self, fields: Iterable[tuple[bytes, bytes]]) -> bytes:
        """Encode a head.

        Raises:
            ProtocolError: a field must not be sent; the table has not changed.
        """
        found = [
            _kept_field(name, value)
            if len(value) <= _VALUE_BYTES_MAX and name not in _SENSITIVE
            else _make_field(name, value)
            for name, value in fields
        ]
        block, entries = bytearray(), self._entries
        if self._updates:
            for size in self._updates:
                block += _integer(IS_UPDATE, 5, size)
            self._updates = []
        for field in found:
            if field is None:
                continue
            if field.complete:
                block += field.complete
            elif (number := entries.get(field.entry)) is not None:  # type: ignore[arg-type]
                block += _INDEXED[_FIRST + self._added - number]
            elif field.is_known and field.entry is not None and field.size <= self._max_bytes:
                block += field.added
                self._added += 1
                entries[field.entry] = self._added
                self._bytes += field.size
                if self._bytes > self._max_bytes:
                    self._evict()
            else:
                block += field.literal
                field.is_known = True
        return bytes(block)

    def _evict(self) -> None:
        """Remove the oldest entries until the rest fits (RFC 7541 section 4.3)."""
        while self._bytes > self._max_bytes:
            name, value = self._entries.popitem(last=False)[0]
            self._bytes -= len(name) + len(value) + ENTRY_BYTES
