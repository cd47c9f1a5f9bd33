"""Decoding of the heads of requests (HPACK, RFC 7541) in few steps a field, and within bounds.

The ``hpack`` library copies the rest of a head for each field, makes several objects for each integer, and
decodes Huffman code slowly (:mod:`.huffman`).
"""

from typing import Any, Final

from hpack import Decoder, HeaderTuple, NeverIndexedHeaderTuple
from hpack.exceptions import HPACKDecodingError, InvalidTableSizeError, OversizedHeaderListError
from hpack.table import HeaderTable

from .hpack_forms import ENTRY_BYTES, IS_ADDED, IS_HUFFMAN, IS_INDEXED, IS_NEVER_INDEXED, IS_UPDATE
from .huffman import decode_huffman

FIELDS_MAX: Final = 100  # of one head
MARGIN: Final = 8  # times a limit: a client above the limit may be honest, one above this is none

_INTEGER_BYTES_MAX: Final = 5  # of a number behind its prefix: more than any size or index takes

_make: Final[Any] = tuple.__new__  # HeaderTuple itself takes its parts through a function in Python
_STATIC: Final[list[tuple[bytes, bytes]]] = [_make(HeaderTuple, field) for field in HeaderTable.STATIC_TABLE]


class FieldDecoder(Decoder):
    """The decoder of one connection; it stops at a head with far too many fields, for each takes some time.

    Args:
        max_head_bytes: maximum size of a decoded head, with 32 bytes for each field.
    """

    def decode(self, data: bytes, raw: bool = True) -> Any:
        """Decode a head.

        Raises:
            HPACKDecodingError: it is malformed.
            OversizedHeaderListError: it is too large, or has too many fields.
        """
        try:
            fields = self._decode(data)
        except IndexError:
            raise HPACKDecodingError("A head ends within a field") from None
        self._assert_valid_table_size()
        return fields

    def _decode(self, data: bytes) -> list[tuple[bytes, bytes]]:
        fields: list[tuple[bytes, bytes]] = []
        position, end, size = 0, len(data), 0
        while position < end:
            first = data[position]
            position += 1
            if IS_UPDATE <= first < IS_ADDED:
                if fields:
                    raise HPACKDecodingError("An update of the table's size is not in front of all fields")
                position = self._update_size(data, position)
                continue
            if len(fields) >= MARGIN * FIELDS_MAX:
                raise OversizedHeaderListError("The head of a request has too many fields")
            if first >= IS_INDEXED:
                index = first & 0x7F
                if index == 0x7F:
                    index, position = _read_rest(data, position, index)
                field = self._entry(index)
            else:
                index = mask = 0x3F if first >= IS_ADDED else 0x0F
                index &= first
                if index == mask:
                    index, position = _read_rest(data, position, index)
                if index:
                    name = self._entry(index)[0]
                else:
                    name, position = _read_string(data, position)
                value, position = _read_string(data, position)
                if first >= IS_ADDED:
                    self.header_table.add(name, value)
                is_sensitive = IS_NEVER_INDEXED <= first < IS_UPDATE
                field = _make(NeverIndexedHeaderTuple if is_sensitive else HeaderTuple, (name, value))
            fields.append(field)
            size += len(field[0]) + len(field[1]) + ENTRY_BYTES
            if size > self.max_header_list_size:
                raise OversizedHeaderListError("The head of a request is too large")
        return fields

    def _entry(self, index: int) -> tuple[bytes, bytes]:
        """Return an entry of the tables.

        Raises:
            InvalidTableIndex: there is none.
        """
        if 0 < index <= len(_STATIC):
            return _STATIC[index - 1]
        field: tuple[bytes, bytes] = _make(HeaderTuple, self.header_table.get_by_index(index))
        return field

    def _update_size(self, data: bytes, position: int) -> int:
        """Change the maximum size of the connection's table (section 6.3); return the end of the update.

        Raises:
            InvalidTableSizeError: it is larger than was agreed.
        """
        size = data[position - 1] & 0x1F
        if size == 0x1F:
            size, position = _read_rest(data, position, size)
        if size > self.max_allowed_table_size:
            raise InvalidTableSizeError("The table of a client is larger than was agreed")
        self.header_table_size = size
        return position


def _read_rest(data: bytes, position: int, number: int) -> tuple[int, int]:
    """Return a number whose prefix is full (section 5.1), and its end.

    Raises:
        HPACKDecodingError: it is too long.
    """
    for shift in range(0, 7 * _INTEGER_BYTES_MAX, 7):
        byte = data[position]
        position += 1
        number += (byte & 0x7F) << shift
        if byte == byte & 0x7F:
            return number, position
    raise HPACKDecodingError("A number of a head is too long")


def _read_string(data: bytes, position: int) -> tuple[bytes, int]:
    """Return a string (section 5.2), and its end.

    Raises:
        HPACKDecodingError: it is malformed.
    """
    first = data[position]
    position += 1
    size = first & 0x7F
    if size == 0x7F:
        size, position = _read_rest(data, position, size)
    end = position + size
    if end > len(data):
        raise HPACKDecodingError("A head ends within a string")
    string = data[position:end]
    return decode_huffman(string) if first & IS_HUFFMAN else string, end
