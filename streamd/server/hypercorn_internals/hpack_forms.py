"""The first bits of HPACK's representations of a field, and the size of an entry (RFC 7541)."""

from typing import Final

IS_INDEXED: Final = 0x80  # section 6.1
IS_ADDED: Final = 0x40  # section 6.2.1
IS_UPDATE: Final = 0x20  # section 6.3
IS_NEVER_INDEXED: Final = 0x10  # section 6.2.3
IS_HUFFMAN: Final = 0x80  # of a string, section 5.2
ENTRY_BYTES: Final = 32  # added to name and value of each entry, section 4.1
