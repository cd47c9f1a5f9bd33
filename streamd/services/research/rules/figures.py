"""Rules about figures: growth, margins, hiring, and the concentration of the revenue."""

import math
from collections.abc import Iterator
from typing import Final

from ..roles import Field, read_role
from ..shapes import Concentration, Financials, HiringTrend, PeerGrowth, Products
from .advice import ADVICE
from .engine import Case, Conclusion, clip, count, insight, names, recommend, rule

_NOTICEABLE_POINTS: Final = 2.0  # a smaller difference may come from rounding
_CLEAR_TREND_PERCENT: Final = 20.0
_HIGH_SHARE_PERCENT: Final = 30.0
_HIGH_TOP_THREE_PERCENT: Final = 60.0


@rule(PeerGrowth)
def growth_against_peers(case: Case, growth: PeerGrowth) -> Iterator[Conclusion]:
    """Compare growth with the median of the peers, and advise by the caller's field."""
    own, median = growth.growth_percent, growth.peers_median_percent
    verb = "grew" if own >= 0 else "shrank"
    if median is None:
        yield insight(
            f"Revenue of {case.company} {verb} by {abs(own):g}% in {growth.year}; no figures of peers are"
            " known.",
            growth_percent=own,
        )
        return
    ahead = round(own - median, 1)
    if abs(ahead) < _NOTICEABLE_POINTS:
        beside = "as much as"
    else:
        beside = f"{abs(ahead):g} percentage points {'more' if ahead > 0 else 'less'} than"
    yield insight(
        f"Revenue of {case.company} {verb} by {abs(own):g}% in {growth.year}, {beside} the median of "
        f"{count(len(growth.peers), 'peer')} ({median:+g}%).",
        growth_percent=own,
        peers_median_percent=median,
        ahead_points=ahead,
    )
    if abs(ahead) < _NOTICEABLE_POINTS:
        return
    beside, subject = ("better", "faster_than_peers") if ahead > 0 else ("worse", "slower_than_peers")
    advice = ADVICE[subject].for_field(case.role.field)
    yield recommend(f"{case.company} does {beside} than its peers. As {case.caller}, {advice}.")


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
    if first == last:
        yield insight(
            f"The operating margin of {case.company} was {margins[last]:g}% in {last}.",
            margin_percent=margins[last],
        )
    else:
        change = round(margins[last] - margins[first], 1)
        yield insight(
            f"The operating margin of {case.company} was {margins[last]:g}% in {last}, {change:+g} percentage"
            f" points since {first}.",
            margin_percent=margins[last],
            change_points=change,
        )
    if margins[last] < 0:
        yield recommend(
            f"{case.company} lost money in {last}: ask the finance department of "
            f"{clip(case.query.user_company)} before you offer terms of payment.",
            urgent=case.role.field in (Field.FINANCE, Field.SALES),
        )
    elif margins[last] - margins[first] <= -1:
        yield recommend(
            f"{case.company} keeps less of what it earns than in {first}. As {case.caller}, name what you "
            "would save it before you name a price."
        )
    elif margins[last] - margins[first] >= 1:
        yield recommend(
            f"{case.company} keeps more of what it earns than in {first}: it can invest. As {case.caller}, "
            "propose what pays back over years, too."
        )


@rule(HiringTrend)
def hiring(case: Case, trend: HiringTrend) -> Iterator[Conclusion]:
    """Compare open positions with the months before, and with the caller's field."""
    period = f"{trend.from_month} to {trend.to_month}"
    if trend.change_percent is None:
        change = "after none in the three months before"
    elif trend.change_percent == 0:
        change = "as many as in the three months before"
    else:
        change = f"{trend.change_percent:+g}% against the three months before"
    openings = count(trend.openings, "opening")
    yield insight(
        f"{case.company} had {openings} from {period}, {change}.",
        openings=trend.openings,
        openings_before=trend.openings_before,
        change_percent=trend.change_percent,
    )
    field = case.role.field
    alike = {name: number for name, number in trend.departments.items() if read_role(name).field is field}
    if sum(alike.values()):
        share = round(100 * sum(alike.values()) / sum(trend.departments.values()))
        yield insight(
            f"{sum(alike.values())} of these openings ({share}%) are in your field: {names(alike)}.",
            field=str(field),
            openings=sum(alike.values()),
        )
    if trend.change_percent is not None and trend.change_percent <= -_CLEAR_TREND_PERCENT:
        yield recommend(
            f"{case.company} hires clearly less than before: expect budgets to be looked at twice."
        )
    elif (
        trend.departments
        and trend.openings
        and (trend.change_percent is None or trend.change_percent >= _CLEAR_TREND_PERCENT)
    ):
        department = next(iter(trend.departments))
        yield recommend(
            f"{case.company} hires clearly more than before, most in {clip(department)}: offer what helps "
            "new people to be of use sooner."
        )


@rule(Concentration)
def concentration(case: Case, shares: Concentration) -> Iterator[Conclusion]:
    """Warn of dependence on few customers."""
    yield insight(
        f"{clip(shares.largest)} brings {shares.largest_percent:g}% of the revenue of {case.company}; the "
        f"three largest of {count(shares.customers, 'customer')} known bring {shares.top_three_percent:g}%.",
        largest_percent=shares.largest_percent,
        top_three_percent=shares.top_three_percent,
    )
    if shares.largest_percent >= _HIGH_SHARE_PERCENT or shares.top_three_percent >= _HIGH_TOP_THREE_PERCENT:
        yield recommend(
            f"{case.company} depends on few customers: what wins it new ones is worth most to it. As "
            f"{case.caller}, say whom you could bring."
        )


@rule(Products)
def products(case: Case, catalogue: Products) -> Iterator[Conclusion]:
    """Name the product with the largest share of the revenue, and the newest one."""
    known = [product for product in catalogue.products if product.share_of_revenue is not None]
    if known:
        top = max(known, key=lambda product: (product.share_of_revenue or 0, product.name))
        yield insight(
            f"{clip(top.name)} brings {top.share_of_revenue:g}% of the revenue of {case.company}.",
            product=top.name,
            share_of_revenue=top.share_of_revenue,
        )
    dated = [product for product in catalogue.products if product.launched is not None]
    if dated:
        newest = max(dated, key=lambda product: (product.launched or 0, product.name))
        yield insight(
            f"The newest of its {count(len(catalogue.products), 'product')} is {clip(newest.name)} "
            f"({newest.launched}).",
            product=newest.name,
            launched=newest.launched,
        )
        advice = ADVICE["new_product"].for_field(case.role.field)
        yield recommend(f"{clip(newest.name)} is new at {case.company}. As {case.caller}, {advice}.")
