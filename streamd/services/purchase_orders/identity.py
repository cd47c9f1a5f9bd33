"""Whose orders a request is about.

A port, :class:`MerchantIdentity`, because who says so depends on how streamd is run: in open mode the request
itself does, as :class:`OpenMerchant` reads it; behind a verified token a claim does, as
:class:`ClaimMerchant` reads it.
"""

from collections.abc import Mapping
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import attrs

from ...errors import Forbidden, InvalidField

PARAMETER: Final = "merchantId"
MAX_MERCHANT_CHARS: Final = 128  # a merchant is part of three topics, and a label for people
_SEPARATORS: Final = ":/*"  # what has a meaning in topics and patterns


class AnyRequest(Protocol):
    """What is read of a request."""

    @property
    def args(self) -> Any: ...  # has `getlist`


class MerchantIdentity(Protocol):
    """Says which merchant is asking."""

    def merchant(self, request: AnyRequest) -> str:
        """The merchant's id.

        Raises:
            InvalidField: the request does not say, or what it says cannot be an id.
            Forbidden: whoever asks belongs to no merchant.
        """
        ...


def check_merchant(text: str, *, field: str = PARAMETER) -> str:
    """A merchant's id, if it can be one: printable, and nothing in it that topics are made of.

    Raises:
        InvalidField: it cannot.
    """
    if not 0 < len(text) <= MAX_MERCHANT_CHARS:
        raise InvalidField(f"{field} must have 1 to {MAX_MERCHANT_CHARS} characters", field=field)
    if not text.isprintable() or text != text.strip() or any(character in text for character in _SEPARATORS):
        raise InvalidField(f"{field} must be printable, without ':', '/', '*' and outer spaces", field=field)
    return text


@attrs.frozen
class OpenMerchant:
    """Open mode, on the loopback interface: the query names the merchant, and everybody is believed.

    Args:
        default: whose the request is when it names none; empty: it must name one.
    """

    default: str = ""

    def merchant(self, request: AnyRequest) -> str:
        named = request.args.getlist(PARAMETER)
        if len(named) > 1:
            raise InvalidField(f"{PARAMETER} may be given once", field=PARAMETER)
        if not named and not self.default:
            raise InvalidField(f"say whose orders these are: ?{PARAMETER}=…", field=PARAMETER)
        return check_merchant(named[0] if named else self.default)


@attrs.frozen
class ClaimMerchant:
    """Behind keys: a claim of a token names the merchant.

    Nothing uses it yet: streamd verifies no tokens so far, and this class verifies none either. Whoever does
    hands over the claims of a token whose signature, audience and times were checked before.

    A URL stands for its host, as in Shopify's session tokens, where ``dest`` is
    ``https://shop.myshopify.com``.

    Args:
        claim: its name.
    """

    claim: str

    def merchant_of(self, claims: Mapping[str, Any]) -> str:
        """The merchant of a verified token.

        Raises:
            Forbidden: the token names none that can be one.
        """
        value = claims.get(self.claim)
        if not isinstance(value, str) or not value:
            raise Forbidden(f"the token has no claim {self.claim!r} that names a merchant", field=self.claim)
        try:
            return check_merchant(_host_of(value) if "://" in value else value, field=self.claim)
        except ValueError as error:
            raise Forbidden(f"the token's claim {self.claim!r} is no URL", field=self.claim) from error
        except InvalidField as error:
            raise Forbidden(
                f"the token's claim {self.claim!r} names no merchant", field=self.claim
            ) from error


def _host_of(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise ValueError(url)
    return parts.hostname
