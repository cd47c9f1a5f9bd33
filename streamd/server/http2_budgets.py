"""The budgets of one HTTP/2 connection: how many frames that cost more than they carry a client may send.

Each budget is an account of the generic cell rate algorithm (see :mod:`streamd.limits`): it holds at most
``burst`` tokens and earns ``per_second``. A client that overdraws one is told to calm down, and its
connection is ended (GOAWAY, ENHANCE_YOUR_CALM; RFC 9113 section 10.5).

===========  =========================================================================================
budget       is charged for
===========  =========================================================================================
``control``  PING, PRIORITY, SETTINGS, WINDOW_UPDATE, GOAWAY, frames of unknown types and frames of
             streams that are over. It also earns 3 tokens for a DATA frame sent, and 4 for a request
``resets``   streams that the client resets, or that are reset because of an error of the client's;
             requests that are refused; heads of more than 16 kB, a token for each kilobyte
``empty``    DATA without content that does not end its stream, HEADERS and CONTINUATION without content
             that do not end their head
===========  =========================================================================================

A DATA frame earns only if the client's window did not cut it short: otherwise windows of one byte would pay
for the updates that open them.

What a normal client needs lies far below: a page that is reloaded cancels some hundred requests at once, and
a client that acknowledges each DATA frame sends two WINDOW_UPDATE frames for it.
"""

from typing import Final

import trio

from ..limits.gcra import Rate

CONTROL: Final = Rate(per_second=200, burst=2_000)
RESETS: Final = Rate(per_second=33, burst=1_000)  # as nghttp2: in use with all browsers and proxies
EMPTY: Final = Rate(per_second=10, burst=100)

_ROUNDING_SECONDS: Final = 1e-6
_FOR_SENT_FRAME: Final = 3  # tokens
_FOR_REQUEST: Final = 4  # tokens: for its WINDOW_UPDATE and PRIORITY frames
_CUT_BYTES: Final = 1_024  # a frame of this size is worth its updates also where it was cut short


class Budget:
    """One account of tokens.

    Args:
        rate: of the account.
    """

    __slots__ = ("_burst_seconds", "_full_at", "_seconds_each")

    def __init__(self, rate: Rate) -> None:
        self._seconds_each = 1 / rate.per_second
        self._burst_seconds = rate.burst / rate.per_second + _ROUNDING_SECONDS
        self._full_at = float("-inf")  # by trio's clock (s)

    def take(self, tokens: int) -> bool:
        """Take tokens, or none if the account has too few; return False then."""
        now = trio.current_time()
        full_at = max(self._full_at, now) + tokens * self._seconds_each
        if full_at - now > self._burst_seconds:
            return False
        self._full_at = full_at
        return True

    def earn(self, tokens: int) -> None:
        """Add tokens; the account holds no more than its burst."""
        self._full_at -= tokens * self._seconds_each


class FrameBudgets:
    """The budgets of one connection.

    Attributes:
        control, resets, empty: see the module.
    """

    __slots__ = ("_earned", "control", "empty", "resets")

    def __init__(self) -> None:
        self.control = Budget(CONTROL)
        self.resets = Budget(RESETS)
        self.empty = Budget(EMPTY)
        self._earned = 0  # tokens of ``control``, added when it is charged

    def take_control(self, tokens: int) -> bool:
        """Charge ``control``; return False if it has too few tokens."""
        self.control.earn(self._earned)
        self._earned = 0
        return self.control.take(tokens)

    def note_request(self) -> None:
        """Note that a request was accepted."""
        self._earned += _FOR_REQUEST

    def note_sent(self, size: int, *, is_cut: bool) -> None:
        """Note that a DATA frame was sent.

        Args:
            size: of its content (bytes).
            is_cut: the window was too small for all that was buffered.
        """
        if not is_cut or size >= _CUT_BYTES:
            self._earned += _FOR_SENT_FRAME
