"""The rows of the table of faults, one function each, which returns what was counted.

base         a cell: one client, with its proxy and its pages
outages      connections that break
rejections   answers that reject
buffering    proxies that hold event streams back
formats      what clients send, and what they understand
crowds       many tabs, and many clients
"""

from typing import Final

from .base import Case, Rig
from .buffering import BUFFERING
from .crowds import CROWDS
from .formats import FORMATS
from .outages import OUTAGES
from .rejections import REJECTIONS

__all__ = ["CASES", "Case", "Rig"]

# In the order of the rows.
CASES: Final = (*OUTAGES, *REJECTIONS, *BUFFERING, *FORMATS, *CROWDS)
