"""Rules that derive insights and recommendations from the findings.

==============  ===================================================================================
``engine``      :func:`rule` and :func:`derive`: applies the rules to the shapes that were found
``people``      decision makers, their levels and fields, and their contact data
``figures``     growth, margins, hiring, and the concentration of the revenue
``market``      peers, tools, news, compliance, and the caller's own company
``sentences``   the sentences and the advice in them, from ``data/``
==============  ===================================================================================

The rules are pure: the same findings, role and company give the same conclusions, word for word.
"""

from . import figures, market, people
from .engine import Conclusion, Conclusions, Insight, Recommendation, derive

__all__ = ["Conclusion", "Conclusions", "Insight", "Recommendation", "derive", "figures", "market", "people"]
