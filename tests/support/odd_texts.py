"""Texts at the edges of validity, for every place that takes an identifier."""

VALID_IDENTIFIERS = [
    "plain",
    "two words",
    "می\u200cخواهم",  # Persian, with a zero-width non-joiner
    "👩\u200d👩\u200d👧",  # emoji, with joiners
    "❤\ufe0f",
    "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",  # a flag, with tag characters
    "co\u00adop",  # a soft hyphen
    "山田\u3000太郎",  # an ideographic space
    "no\u00a0break",
    "Nestle\u0301",
    "क्\u200dष",
    "שלום\u200f!",  # a right-to-left mark
    "zero\u200bwidth",
    "\ufeffmark",
    "private \ue000",
    "\ufffe and \U0010ffff",  # noncharacters
    "\U0001fae9",  # newer than some versions of Python
]
BIDI = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
INVALID_IDENTIFIERS = [
    "a\0",
    "a\nb",
    "\r",
    "a\tb",
    "\x1b[31m",
    "\x7f",
    "a\x85b",  # next line
    "\x9b1m",
    "a\u2028b",
    "a\u2029b",
    *(f"a{character}b" for character in BIDI),
]
"""Identifiers that are refused. All can be sent as JSON, and in a URL."""

INVALID_TEXTS = ["a\0", "\x1b[31mred", "\x08", "\x7f", "a\x85b", "\x9b1m"]
"""Texts of several lines that are refused. All can be sent as JSON."""
VALID_TEXTS = ["", "a\tb\r\nc", "a\u2028b", *(f"a{character}b" for character in BIDI), *VALID_IDENTIFIERS]
