"""Rules about figures: growth, margins, hiring, and the concentration of the revenue."""

import math
from collections.abc import Iterator
from typing import Final

from ..roles import Field, read_role
from ..shapes import Concentration, Financials, HiringTrend, PeerGrowth, Products
from .engine import Case, Conclusion, rule

_NOTICEABLE_POINTS: Final = 2.0  # a smaller difference may come from rounding
_CLEAR_TREND_PERCENT: Final = 20.0
_HIGH_SHARE_PERCENT: Final = 30.0
_HIGH_TOP_THREE_PERCENT: Final = 60.0


@rule(PeerGrowth)
def growth_against_peers(case: Case, growth: PeerGrowth) -> Iterator[Conclusion]:
    """Compare growth with the median of the peers, and advise by the caller's field."""
    own, median = growth.growth_percent, growth.peers_median_percent
    if median is None:
        yield case.insight("without_peers", growth_percent=own)
        return
    ahead = round(own - median, 1)
    is_close = abs(ahead) < _NOTICEABLE_POINTS
    yield case.insight(
        "compared",
        {"is_close": is_close},
        growth_percent=own,
        peers_median_percent=median,
        ahead_points=ahead,
    )
    if not is_close:
        yield case.recommend("faster" if ahead > 0 else "slower")


@rule(Financials)
def margin(case: Case, financials: Financials) -> Iterator[Conclusion]:
    """Compare the operating margins of the last and the first year."""
    margins = {
        year.year: round(100 * year.operating_profit / year.revenue, 1)
        for year in sorted(financials.years, key=lambda year: year.year)
        if year.operating_profit is not None and year.revenue
    }
    margins = {year: percent for year, percent in margins.items() if math.isfinite(percent)}
    if not margins:
        return
    first, last = min(margins), max(margins)
    change = margins[last] - margins[first]
    if first == last:
        yield case.insight("one_year", {"last": last}, margin_percent=margins[last])
    else:
        years = {"first": first, "last": last}
        yield case.insight("change", years, margin_percent=margins[last], change_points=round(change, 1))
    if margins[last] < 0:
        yield case.recommend("loss", urgent=case.role.field in (Field.FINANCE, Field.SALES), last=last)
    elif change <= -1:
        yield case.recommend("falling", first=first)
    elif change >= 1:
        yield case.recommend("rising", first=first)


@rule(HiringTrend)
def hiring(case: Case, trend: HiringTrend) -> Iterator[Conclusion]:
    """Compare open positions with the months before, and with the caller's field."""
    yield case.insight(
        "openings",
        openings=trend.openings,
        openings_before=trend.openings_before,
        change_percent=trend.change_percent,
    )
    field = case.role.field
    alike = {name: number for name, number in trend.departments.items() if read_role(name).field is field}
    if number := sum(alike.values()):
        percent = round(100 * number / sum(trend.departments.values()))
        yield case.insight(
            "alike", {"departments": alike, "percent": percent}, field=str(field), openings=number
        )
    change = trend.change_percent
    if change is not None and change <= -_CLEAR_TREND_PERCENT:
        yield case.recommend("fewer")
    elif trend.departments and trend.openings and (change is None or change >= _CLEAR_TREND_PERCENT):
        yield case.recommend("more", department=next(iter(trend.departments)))


@rule(Concentration)
def concentration(case: Case, shares: Concentration) -> Iterator[Conclusion]:
    """Warn of dependence on few customers."""
    yield case.insight(
        "shares", largest_percent=shares.largest_percent, top_three_percent=shares.top_three_percent
    )
    if shares.largest_percent >= _HIGH_SHARE_PERCENT or shares.top_three_percent >= _HIGH_TOP_THREE_PERCENT:
        yield case.recommend("dependent")


@rule(Products)
def products(case: Case, catalogue: Products) -> Iterator[Conclusion]:
    """Name the product with the largest share of the revenue, and the newest one."""
    known = [product for product in catalogue.products if product.share_of_revenue is not None]
    if known:
        top = max(known, key=lambda product: (product.share_of_revenue or 0, product.name))
        yield case.insight("top", product=top.name, share_of_revenue=top.share_of_revenue)
    dated = [product for product in catalogue.products if product.launched is not None]
    if dated:
        newest = max(dated, key=lambda product: (product.launched or 0, product.name))
        yield case.insight("newest", product=newest.name, launched=newest.launched)
        yield case.recommend("new", product=newest.name)
