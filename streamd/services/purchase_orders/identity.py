"""The merchant of a request.

:class:`MerchantIdentity` is a port. In open mode the request itself names the merchant
(:class:`OpenMerchant`); with verified tokens a claim does (:class:`ClaimMerchant`).
"""

from collections.abc import Mapping
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import attrs

from ...characters import check_text
from ...errors import Forbidden, InvalidField

PARAMETER: Final = "merchantId"
MAX_MERCHANT_CHARS: Final = 128  # a merchant is part of three topics, and a label for people
_SEPARATORS: Final = ":/*"  # characters with a meaning in topics and patterns


class MerchantRequest(Protocol):
    """The part of a request that names the merchant."""

    @property
    def args(self) -> Any: ...  # has `getlist`


class MerchantIdentity(Protocol):
    """Identifies the merchant of a request."""

    def merchant(self, request: MerchantRequest) -> str:
        """Return the merchant's id.

        Raises:
            InvalidField: the request names no merchant, or an invalid id.
            Forbidden: the caller belongs to no merchant.
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
class OpenMerchant:
    """Open mode, for the loopback interface: the query names the merchant, without any proof.

    Args:
        default: the merchant of requests that name none; empty: each request must name one.
    """

    default: str = ""

    def merchant(self, request: MerchantRequest) -> str:
        named = request.args.getlist(PARAMETER)
        if len(named) > 1:
            raise InvalidField(f"{PARAMETER} may be given once", field=PARAMETER)
        if not named and not self.default:
            raise InvalidField(f"name the merchant in the query: ?{PARAMETER}=…", field=PARAMETER)
        return check_merchant(named[0] if named else self.default)


@attrs.frozen
class ClaimMerchant:
    """With tokens: a claim names the merchant.

    Not used yet, because streamd verifies no tokens. The caller must have verified the token's signature,
    audience and times.

    A URL stands for its host, as in Shopify's session tokens, where ``dest`` is
    ``https://shop.myshopify.com``.

    Args:
        claim: name of the claim.
    """

    claim: str

    def merchant_of(self, claims: Mapping[str, Any]) -> str:
        """Return the merchant of a verified token.

        Raises:
            Forbidden: the claim is missing, or names no valid merchant.
        """
        value = claims.get(self.claim)
        if not isinstance(value, str) or not value:
            raise Forbidden(f"the token has no claim {self.claim!r} that names a merchant", field=self.claim)
        try:
            return check_merchant(_host_of(value) if "://" in value else value, field=self.claim)
        except ValueError as error:
            raise Forbidden(
                f"the token's claim {self.claim!r} is not a valid URL", field=self.claim
            ) from error
        except InvalidField as error:
            raise Forbidden(
                f"the token's claim {self.claim!r} names no merchant", field=self.claim
            ) from error


def _host_of(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise ValueError(url)
    return parts.hostname
