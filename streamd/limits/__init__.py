"""Rate limits: how often a caller may send requests, and how much it may publish.

================  ===========================================================================
``gcra``          :class:`Limiter`: the accounts of one limit, in memory
``reservations``  :class:`SharedLimiter`: the same over all nodes on one Redis
``limits``        :class:`Limits`: all limits of a server
``allowance``     :class:`Allowance`: pings and the like of one connection
``addresses``     client addresses as they are counted
``fields``        the response header fields ``RateLimit`` and ``RateLimit-Policy``
``settings``      the section ``limits``
================  ===========================================================================

A limit has one account for each caller: its user, or its address without one. Imports the layers below; knows
no request and no transport.
"""

from .addresses import AddressCounting, group_address
from .allowance import Allowance
from .fields import rate_limit_fields
from .gcra import Decision, Limiter, Rate
from .limits import LimitName, Limits, TakenLimit, caller_key
from .settings import LimitSettings

__all__ = [
    "AddressCounting",
    "Allowance",
    "Decision",
    "LimitName",
    "LimitSettings",
    "Limiter",
    "Limits",
    "Rate",
    "TakenLimit",
    "caller_key",
    "group_address",
    "rate_limit_fields",
]
