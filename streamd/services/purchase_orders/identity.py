"""The merchant of a request: that of its caller's token, else the one that the request names."""

from typing import Any, Final, Protocol

import attrs

from ...auth import Caller
from ...characters import check_text
from ...errors import InvalidField

PARAMETER: Final = "merchantId"
MAX_MERCHANT_CHARS: Final = 128  # a merchant is part of three topics, and a label for people
_SEPARATORS: Final = ":/*"  # characters with a meaning in topics and patterns


class MerchantRequest(Protocol):
    """The part of a request that names the merchant."""

    @property
    def args(self) -> Any: ...  # has `getlist`


class MerchantIdentity(Protocol):
    """Identifies the merchant of a request."""

    def merchant(self, request: MerchantRequest, caller: Caller) -> str:
        """Return the merchant's id; whether the caller may act for it is not checked here.

        Raises:
            InvalidField: the request names no merchant, or an invalid id.
        """
        ...


def check_merchant(text: str, *, field: str = PARAMETER) -> str:
    """Validate a merchant's id: an identifier without outer spaces and the separators of topics.

    Raises:
        InvalidField: the id is not valid.
    """
    check_text(text, field, max_chars=MAX_MERCHANT_CHARS)
    if text != text.strip() or any(character in text for character in _SEPARATORS):
        raise InvalidField(f"{field} must be without ':', '/', '*' and outer spaces", field=field)
    return text


@attrs.frozen
class CallersMerchant:
    """The merchant of the caller's token. A caller without one names the merchant in the query.

    That is one of a server without keys, or an administrator; others may not act for a merchant.

    Args:
        default: the merchant of requests that name none; empty: each request must name one.
    """

    default: str = ""

    def merchant(self, request: MerchantRequest, caller: Caller) -> str:
        named = request.args.getlist(PARAMETER)
        if len(named) > 1:
            raise InvalidField(f"{PARAMETER} may be given once", field=PARAMETER)
        found = named[0] if named else caller.merchant or self.default
        if not named and not found:
            raise InvalidField(f"name the merchant in the query: ?{PARAMETER}=…", field=PARAMETER)
        return check_merchant(found)
