"""Parsing of amounts of money and quantities into Decimals, never through floats.

Accepts ``1.234,50``, ``1,234.50``, ``1'234.50``, ``1 234,50``, ``EUR 4.50``, ``$4.50`` and ``4,50 €``. A
single separator before exactly three digits (``1.234``) may be a decimal mark or a thousands separator: the
other amounts of the document decide. If they do not, the amount is refused, because a guess could be wrong by
a factor of 1,000.
"""

import re
import unicodedata
from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

import attrs

MAX_AMOUNT: Final = Decimal(10) ** 12
MAX_DECIMALS: Final = 6  # digits after the decimal mark; unit prices of small parts have up to four
_FINEST: Final = Decimal(1).scaleb(-MAX_DECIMALS)
MAX_CHARS: Final = 40  # maximum length of one amount with its currency
MAX_QUANTITY: Final = 10**9

ANY_DOLLAR: Final = "$"
"""A bare ``$``: the rest of the order decides which dollar it is."""
DOLLARS: Final = frozenset({"USD", "CAD", "AUD", "NZD", "SGD", "HKD", "MXN"})

# ISO 4217: currencies in common use, and their minor digits if not two.
CURRENCIES: Final = frozenset(
    re.findall(
        "[A-Z]{3}",
        "AED ALL AMD ARS AUD AZN BAM BDT BGN BHD BOB BRL CAD CHF CLP CNY COP CRC CZK DKK DOP DZD EGP EUR"
        " GBP GEL GHS GTQ HKD HUF IDR ILS INR ISK JMD JOD JPY KES KRW KWD KZT LKR MAD MDL MKD MUR MXN MYR"
        " NAD NGN NOK NPR NZD OMR PEN PHP PKR PLN PYG QAR RON RSD SAR SEK SGD THB TND TRY TTD TWD TZS UAH"
        " UGX USD UYU UZS VND XAF XOF ZAR ZMW",
    )
)
_MINOR_DIGITS: Final = {
    **dict.fromkeys(("CLP", "ISK", "JPY", "KRW", "PYG", "UGX", "VND", "XAF", "XOF"), 0),
    **dict.fromkeys(("BHD", "JOD", "KWD", "OMR", "TND"), 3),
}
_SYMBOLS: Final = {
    "US$": "USD",
    "CA$": "CAD",
    "C$": "CAD",
    "AU$": "AUD",
    "A$": "AUD",
    "NZ$": "NZD",
    "HK$": "HKD",
    "S$": "SGD",
    "$": ANY_DOLLAR,
    "€": "EUR",
    "£": "GBP",
    "¥": "JPY",
    "₹": "INR",
    "₩": "KRW",
    "₺": "TRY",
    "zł": "PLN",
}


def _make_currency_pattern() -> str:
    """Build a regular expression for a symbol or a code, which compares few of them at each position."""
    endings: dict[str, list[str]] = {}
    for code in sorted(CURRENCIES):
        endings.setdefault(code[0], []).append(code[1:])
    symbols = map(re.escape, _SYMBOLS)
    codes = (f"{first}(?:{'|'.join(rest)})" for first, rest in endings.items())
    firsts = "".join(sorted({*endings, *(symbol[0] for symbol in _SYMBOLS)}))
    return f"(?=[{re.escape(firsts)}])(?:{'|'.join([*symbols, *codes])})"


CURRENCY_PATTERN: Final = _make_currency_pattern()

_NUMBER: Final = r"[0-9](?:[0-9.,'’ \u00a0\u202f]*[0-9])?"
_ANY_CURRENCY: Final = "|".join([*map(re.escape, _SYMBOLS), "[A-Za-z]{3}"])
_AMOUNT: Final = re.compile(
    rf"(?P<sign>[-+\u2212]?)\s*(?P<before>{_ANY_CURRENCY})?\s*(?P<sign2>[-+\u2212]?)\s*(?P<number>{_NUMBER})"
    rf"\s*(?P<after>{_ANY_CURRENCY})?"
)
_PLAIN: Final = re.compile(r"(?P<whole>[0-9]+)(?:(?P<mark>[.,])(?P<rest>[0-9]+))?")
_GROUPED: Final = re.compile(
    r"(?P<whole>[0-9]{1,3}(?P<group>[.,' ])[0-9]{3}(?:(?P=group)[0-9]{3})*)"
    r"(?:(?P<mark>[.,])(?P<rest>[0-9]+))?"
)


class AmountError(ValueError):
    """The text is not a valid amount; the message completes a sentence such as ``quantity ...``."""


@attrs.frozen
class Amount:
    """A number with its currency."""

    value: Decimal
    currency: str = ""  # ISO 4217 code, ``$`` for an unspecified dollar, or empty


def decimal_mark(texts: Iterable[str]) -> str | None:
    """Determine the decimal mark of a document from its amounts; None if none shows it, or they disagree."""
    marks = set()
    for text in texts:
        if match := _match(text):
            marks.add(_mark_of(_tidy_number(match["number"])))
    marks.discard(None)
    return marks.pop() if len(marks) == 1 else None


def parse_amount(text: str, mark: str | None = None) -> Amount:
    """Parse one amount.

    Args:
        text: the amount, with or without a currency.
        mark: the document's decimal mark, which decides the value of ``1.234``; None if unknown.

    Raises:
        AmountError: it is not an amount, is ambiguous, or exceeds a limit.
    """
    match = _match(text)
    if match is None or (match["sign"] and match["sign2"]):
        raise AmountError(f"is not a number: {shown(text)}")
    currencies = {currency_of(part) for part in (match["before"], match["after"]) if part}
    if None in currencies or len(currencies) > 1:
        raise AmountError(f"has an unknown currency: {shown(text)}")
    value = _read_number(_tidy_number(match["number"]), mark)
    if {match["sign"], match["sign2"]} & {"-", "\u2212"}:
        value = -value
    return Amount(bounded(value), currencies.pop() or "" if currencies else "")


def bounded(value: Decimal) -> Decimal:
    """Return the value if it is within the limits of an order.

    Raises:
        AmountError: it is too large or has too many decimals.
    """
    if not value.is_finite() or abs(value) > MAX_AMOUNT:
        raise AmountError(f"is too large; the maximum is {MAX_AMOUNT}")
    if value != value.quantize(_FINEST):
        raise AmountError(f"has more than {MAX_DECIMALS} decimals")
    # A zero with an exponent of billions would be formatted with as many digits.
    return value or Decimal(0)


def whole(value: Decimal) -> int:
    """Convert a value to a quantity.

    Raises:
        AmountError: it is not a whole number, not greater than 0, or too large.
    """
    if value <= 0:
        raise AmountError(f"must be greater than 0, not {decimal_text(value)}")
    if value != value.to_integral_value():
        raise AmountError(f"must be a whole number, not {decimal_text(value)}")
    if value > MAX_QUANTITY:
        raise AmountError(f"is too large; the maximum is {MAX_QUANTITY}")
    return int(value)


def currency_of(text: str) -> str | None:
    """Return the currency of a code or symbol; None if it is unknown."""
    text = unicodedata.normalize("NFC", text.strip())
    if text in _SYMBOLS:
        return _SYMBOLS[text]
    return code if (code := text.upper()) in CURRENCIES else None


def to_minor(value: Decimal, currency: str) -> Decimal:
    """Round an amount, half up, to the currency's minor unit (ISO 4217)."""
    return value.quantize(minor_unit(currency), rounding=ROUND_HALF_UP)


def minor_unit(currency: str) -> Decimal:
    """Return the minor unit of a currency, such as 0.01."""
    return Decimal(1).scaleb(-_MINOR_DIGITS.get(currency, 2))


def decimal_text(value: Decimal) -> str:
    """Format a Decimal without an exponent."""
    return format(value, "f")


def shown(text: str) -> str:
    """Quote a piece of the caller's text, truncated for an error message."""
    return repr(text if len(text) <= MAX_CHARS else f"{text[:MAX_CHARS]}…")


def _match(text: str) -> re.Match[str] | None:
    text = text.strip()
    return _AMOUNT.fullmatch(text) if 0 < len(text) <= MAX_CHARS else None


def _tidy_number(text: str) -> str:
    return re.sub(r"[’']", "'", re.sub(r"[ \u00a0\u202f]", " ", text))


def _mark_of(number: str) -> str | None:
    """Return the decimal mark of one number; None if it shows none."""
    if (plain := _PLAIN.fullmatch(number)) is not None:
        return None if _is_ambiguous(plain) else plain["mark"]
    if (grouped := _GROUPED.fullmatch(number)) is None:
        return None
    if grouped["mark"]:
        return grouped["mark"] if grouped["mark"] != grouped["group"] else None
    return {".": ",", ",": "."}.get(grouped["group"])


def _is_ambiguous(plain: re.Match[str]) -> bool:
    rest, whole_part = plain["rest"] or "", plain["whole"]
    return len(rest) == 3 and len(whole_part) <= 3 and not whole_part.startswith("0")


def _read_number(number: str, mark: str | None) -> Decimal:
    if (plain := _PLAIN.fullmatch(number)) is not None:
        if _is_ambiguous(plain):
            if mark is None:
                dotted, joined = f"{plain['whole']}.{plain['rest']}", plain["whole"] + plain["rest"]
                raise AmountError(
                    f"is ambiguous, {joined} or {dotted}: {number!r}; write {joined} or {dotted}0"
                )
            if plain["mark"] != mark:
                return Decimal(plain["whole"] + plain["rest"])
        return Decimal(f"{plain['whole']}.{plain['rest'] or '0'}" if plain["rest"] else plain["whole"])
    grouped = _GROUPED.fullmatch(number)
    if grouped is None or grouped["mark"] == grouped["group"]:
        raise AmountError(f"is not a number: {shown(number)}")
    digits = re.sub(r"[^0-9]", "", grouped["whole"])
    return Decimal(f"{digits}.{grouped['rest']}" if grouped["rest"] else digits)
