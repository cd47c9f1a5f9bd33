"""The header fields ``RateLimit`` and ``RateLimit-Policy`` (draft-ietf-httpapi-ratelimit-headers-11).

Both are lists of structured fields (RFC 9651). The name of a policy is that of the limit; ``q`` is what its
account holds at most, ``w`` the time in which it earns that (s), ``r`` what is left as this node sees it,
and ``t`` the time until the account is full, or after a refusal that of ``Retry-After`` (s). The draft
registers units for requests and content bytes alone, so the limit of events has no policy.
"""

import math
from collections.abc import Iterable

from .limits import LimitName, TakenLimit


def rate_limit_fields(taken: Iterable[TakenLimit]) -> list[tuple[str, str]]:
    """Build the fields that describe the limits of one request; none if no limit has a policy."""
    policies, states = [], []
    for limit in taken:
        if limit.name is LimitName.EVENTS:
            continue
        rate, decision = limit.rate, limit.decision
        window = max(1, math.ceil(rate.burst / rate.per_second))
        unit = ';qu="content-bytes"' if limit.name is LimitName.BYTES else ""
        policies.append(f'"{limit.name}";q={rate.burst}{unit};w={window}')
        seconds = decision.retry_after_seconds or decision.reset_seconds
        states.append(f'"{limit.name}";r={decision.remaining};t={math.ceil(seconds)}')
    if not policies:
        return []
    return [("RateLimit-Policy", ", ".join(policies)), ("RateLimit", ", ".join(states))]
