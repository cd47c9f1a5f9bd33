"""Limits over all nodes on one Redis: nodes reserve tokens in batches, and give them out by themselves.

::

    take ── tokens reserved here ────────────────────────────── allowed
      '──── none: ask for a batch, wait for the reply ── some ── allowed
                                                    '─── none ── refused, until the server has some again

The account of a caller is in Redis, as the time at which it will be full. One script gives batches to all
callers that need one, at most every 20 ms, however many requests there are; a refused caller is not asked
for again before its time. A batch is a tenth of the burst, or what a twentieth of a second earns, or what
requests wait for, whichever is most.

What holds:

1. In any time, all nodes together give a caller at most what one account gives (:mod:`.gcra`), and 2 batches
   for each node: one that it had reserved before, and one that it gives a caller whom it does not know,
   before it asks. That is charged to the account later, which then has a debt.
2. No node alone gives more than one account does: its own limiter decides first.
3. While Redis is away or does not reply within a second, that limiter decides alone, so that N nodes give N
   times the rate. What they give meanwhile is not charged.
4. What a node has reserved and does not give out is lost to the caller, at most a batch, until the account
   would be full.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from itertools import islice
from typing import Final, NoReturn

import attrs
import structlog
import trio
from coredis.exceptions import RedisError

from ..redis import Disconnected, RedisLink, Script
from .gcra import MAX_KEYS, Decision, Limiter, Rate, monotonic_ns

_INTERVAL_SECONDS: Final = 0.02
_RETRY_SECONDS: Final = 1.0  # after a failure
REPLY_SECONDS: Final = 1.0
"""Maximum time that a caller waits for a reservation (s)."""

_KEYS_A_CALL: Final = 200  # the script takes some 5 us for each
_BATCH_PART: Final = 10  # of the burst
_BATCH_SECONDS: Final = 0.05  # some times the interval
_NS_A_SECOND: Final = 1_000_000_000
_NS_A_US: Final = 1_000
_US_A_SECOND: Final = 1_000_000

# The server's clock has microseconds, and so do the accounts. "allow-oom": some bytes for a few seconds,
# without which the limits would end when the memory is full.
_RESERVE: Final = Script(
    """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local replies = {}
for i = 1, #ARGV, 6 do
  local key = KEYS[1] .. ':limit:' .. ARGV[i]
  local token_us, burst = tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  local owed, need, want = tonumber(ARGV[i + 3]), tonumber(ARGV[i + 4]), tonumber(ARGV[i + 5])
  local full_at = math.max(tonumber(redis.call('GET', key) or 0), now) + owed * token_us
  local available = burst - (full_at - now) / token_us
  local granted = 0
  if available >= math.min(need, burst) then
    granted = math.max(need, math.min(want, math.floor(available)))
    full_at = full_at + granted * token_us
  end
  local wait = 0
  if granted == 0 then wait = (math.min(need, burst) - available) * token_us end
  if full_at > now then
    redis.call('SET', key, string.format('%.0f', full_at), 'PX', math.ceil((full_at - now) / 1000))
  end
  replies[#replies + 1] = { granted, math.ceil(wait), math.ceil(full_at - now) }
end
return replies
""",
    "allow-oom",
)

_log = structlog.get_logger(__name__)


@attrs.define
class _Stock:
    """The tokens of one caller on this node.

    Args:
        tokens: reserved, and not given out.
        owed: given out before they were reserved; charged with the next batch.
        need: the smallest number that is of use now; 0 while nothing is wanted.
        waiting: sum of the costs of requests that wait.
        refused_until: the account has not ``refused`` tokens before this time (ns).
        refused: number of tokens.
        full_at: the account may be full from this time on (ns).
    """

    tokens: int = 0
    owed: int = 0
    need: int = 0
    waiting: int = 0
    refused_until: int = 0
    refused: int = 0
    full_at: int = 0


class Reservations:
    """Reserves tokens for the limits of one node. :meth:`run` must run for as long as they are used.

    Args:
        link: to the server.
        prefix: of all keys, which contains their hash tag.
        reply_seconds: time after which a server that has not replied is taken for lost (s).

    Attributes:
        is_usable: False while the limits of each node hold alone.
    """

    def __init__(self, link: RedisLink, prefix: str, reply_seconds: float = REPLY_SECONDS) -> None:
        self._link = link
        self._prefix = prefix
        self._reply_seconds = reply_seconds
        self._wanted: OrderedDict[tuple[SharedLimiter, str], None] = OrderedDict()
        self._has_wanted = trio.Event()
        self._replied = trio.Event()
        self._suspended = False

    @property
    def is_usable(self) -> bool:
        return not self._suspended and self._link.connected.is_set()

    def want(self, limiter: "SharedLimiter", key: str) -> None:
        """Reserve a batch with the next call."""
        self._wanted[limiter, key] = None
        self._has_wanted.set()

    async def wait(self) -> None:
        """Wait for the reply of a call, which may be one that was sent before; or for its failure."""
        with trio.move_on_after(self._reply_seconds) as scope:
            await self._replied.wait()
        if scope.cancelled_caught:
            self._suspend("no reply")

    async def run(self) -> NoReturn:
        """Reserve what is wanted, until cancelled."""
        while True:
            await self._has_wanted.wait()
            await self._link.connected.wait()
            await self._reserve()
            await trio.sleep(_RETRY_SECONDS if self._suspended else _INTERVAL_SECONDS)

    async def _reserve(self) -> None:
        wanted = [self._wanted.popitem(last=False)[0] for _ in range(min(_KEYS_A_CALL, len(self._wanted)))]
        if not self._wanted:
            self._has_wanted = trio.Event()
        asked = [request for limiter, key in wanted if (request := limiter.request(key)) is not None]
        try:
            if asked:
                arguments = [argument for request in asked for argument in request.arguments()]
                replies = await _RESERVE.run(self._link, self._prefix, *arguments)
                for request, reply in zip(asked, replies, strict=True):
                    request.limiter.take_reply(request, *reply)
            self._resume()
        except (Disconnected, RedisError) as error:
            self._suspend(repr(error))
            self._wanted.update(dict.fromkeys(wanted))
            self._has_wanted.set()
        finally:
            replied, self._replied = self._replied, trio.Event()
            replied.set()

    def _suspend(self, reason: str) -> None:
        if not self._suspended:
            _log.warning("limits_not_shared", reason=reason[:200])
        self._suspended = True

    def _resume(self) -> None:
        if self._suspended:
            _log.info("limits_shared")
        self._suspended = False


@attrs.frozen(eq=False)
class _Request:
    """One caller's part of a call."""

    limiter: "SharedLimiter"
    key: str
    stock: _Stock
    rate: Rate
    owed: int
    need: int
    want: int

    def arguments(self) -> tuple[str | int | float, ...]:
        account = hashlib.blake2b(f"{self.limiter.name}\0{self.key}".encode(), digest_size=16).hexdigest()
        token_us = _US_A_SECOND / (self.rate.step / 1000)
        return account, token_us, self.rate.burst, self.owed, self.need, self.want


class SharedLimiter:
    """The accounts of one limit over all nodes. See the module for what holds.

    Args:
        name: of the limit, the same on all nodes.
        local: the limiter of this node alone.
        reservations: of this node.
        now_ns: the limiter's clock (ns).
        max_keys: maximum number of callers with reserved tokens; for further ones the local limiter decides.
    """

    def __init__(
        self,
        name: str,
        local: Limiter,
        reservations: Reservations,
        *,
        now_ns: Callable[[], int] = monotonic_ns,
        max_keys: int = MAX_KEYS,
    ) -> None:
        self.name: Final = name
        self.local: Final = local
        self._reservations = reservations
        self._now_ns = now_ns
        self._max_keys = max_keys
        self._stocks: OrderedDict[str, _Stock] = OrderedDict()

    @property
    def batch(self) -> int:
        """The number of tokens that are reserved at once."""
        rate = self.local.rate
        return min(rate.burst, max(1, rate.burst // _BATCH_PART, int(rate.per_second * _BATCH_SECONDS)))

    async def take(self, key: str, cost: int = 1) -> Decision:
        """Take tokens, see :meth:`.gcra.Limiter.take`; wait for a reservation if none are left here.

        Cancelled, it has taken nothing.
        """
        while self._reservations.is_usable:
            decision = self.local.look(key, cost)
            stock = self._stock_of(key) if decision.allowed else None
            if stock is None:
                break
            if stock.tokens >= cost:
                stock.tokens -= cost
                if 2 * stock.tokens < self.batch:
                    self._want(key, stock, 1)
                break
            if (refused := self._refusal(stock, cost, decision)) is not None:
                return refused
            self._want(key, stock, cost)
            stock.waiting += cost
            try:
                await self._reservations.wait()
            finally:
                stock.waiting -= cost
        return self.local.take(key, cost)

    def give_back(self, key: str, cost: int) -> None:
        """Return tokens that were taken for a request that was refused for another reason."""
        self.local.give_back(key, cost)
        if key in self._stocks:
            self._stocks[key].tokens += cost

    def _refusal(self, stock: _Stock, cost: int, decision: Decision) -> Decision | None:
        """Return the decision about a request that the account cannot pay for now; None if it may."""
        now = self._now_ns()
        if cost < stock.refused or now >= stock.refused_until:
            return None
        return attrs.evolve(
            decision,
            allowed=False,
            remaining=min(decision.remaining, stock.tokens),
            reset_seconds=max(decision.reset_seconds, (stock.full_at - now) / _NS_A_SECOND),
            retry_after_seconds=(stock.refused_until - now) / _NS_A_SECOND,
        )

    def _stock_of(self, key: str) -> _Stock | None:
        """Return the caller's tokens, with a batch on credit if it is new; None if no more callers fit."""
        stock = self._stocks.get(key)
        if stock is None and len(self._stocks) < self._max_keys:
            stock = self._stocks[key] = _Stock(tokens=self.batch, owed=self.batch)
            self._want(key, stock, 1)
            self._forget_full()
        return stock

    def _forget_full(self) -> None:
        """Forget two callers whose accounts are full, with what they had reserved."""
        now = self._now_ns()
        for key, stock in list(islice(self._stocks.items(), 2)):
            if not stock.owed and not stock.need and stock.full_at <= now:
                del self._stocks[key]
            else:
                self._stocks.move_to_end(key)

    def _want(self, key: str, stock: _Stock, need: int) -> None:
        if stock.tokens >= need and self._now_ns() < stock.refused_until:
            return
        stock.need = max(stock.need, need)
        self._reservations.want(self, key)

    def request(self, key: str) -> _Request | None:
        """Build the caller's part of the next call; None if it needs nothing any more."""
        stock = self._stocks.get(key)
        if stock is None:
            return None
        want = max(max(self.batch, stock.waiting) - stock.tokens, 0)
        return _Request(self, key, stock, self.local.rate, stock.owed, max(stock.need, 1), want)

    def take_reply(self, request: _Request, granted: int, wait_us: int, full_us: int) -> None:
        """Take a caller's part of a reply.

        Args:
            request: its part of the call.
            granted: number of tokens.
            wait_us: time until the account has what was needed; 0 if it had (us).
            full_us: time until the account is full (us).
        """
        now, stock = self._now_ns(), request.stock
        stock.tokens += granted
        stock.owed -= request.owed
        stock.need = 0
        stock.refused = 0 if granted else request.need
        stock.refused_until = now + wait_us * _NS_A_US
        stock.full_at = now + full_us * _NS_A_US
