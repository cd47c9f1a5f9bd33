"""What follows from the findings: insights and recommendations, by rules.

::

    engine.py   Rule, derive: which rules apply to what was found, and what each conclusion rests on
    people.py   who is there to talk to, at which level, and how they can be reached
    figures.py  growth, margins, hiring, how the revenue is spread
    market.py   peers, tools, news, compliance, and the caller's own company

Pure: the same findings, role and company give the same conclusions, word for word.
"""

from . import figures, market, people
from .engine import Conclusions, Found, Insight, Recommendation, derive

__all__ = ["Conclusions", "Found", "Insight", "Recommendation", "derive", "figures", "market", "people"]
