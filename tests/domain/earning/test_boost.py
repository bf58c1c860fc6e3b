"""Boosts: a credit beside the base, taken back with it and in proportion."""

from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from engage.domain.activity import Line, Order, Payment
from engage.domain.earning.boost import Boost, beside
from engage.domain.earning.orders import decide_order, standing
from engage.domain.earning.trace import TraceCode
from engage.domain.program.parse import parse
from tests.support.tiers import DOCUMENT

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
TERMS = parse(DOCUMENT, source="test").earning


def boost(multiply: str, key: str = "tier:spend") -> Boost:
    facts = {"group": "spend", "level": "gold"}
    return Boost(id="tier:gold", key=key, multiply=Decimal(multiply), code=TraceCode.TIER_BOOST, facts=facts)


def order(amounts: list[int]) -> Order:
    lines = [Line(line_id=str(n), product_id="p", paid=amount) for n, amount in enumerate(amounts)]
    return Order(order_id="o", channel="web", payment=Payment(method="card"), lines=lines, currency="INR")


multipliers = st.integers(1, 1000).map(lambda hundredths: str(Decimal(100 + hundredths) / 100))
amounts = st.lists(st.integers(0, 50_000), min_size=1, max_size=5)


@given(paid=amounts, multiply=multipliers)
def test_a_boost_is_floored_once_for_the_order_and_leaves_the_base(paid: list[int], multiply: str) -> None:
    credits = decide_order(TERMS, order(paid), at=NOON, zone="Asia/Kolkata")
    base = next((credit for credit in credits if credit.unit == "points"), None)
    if base is None:
        return
    added = [credit for credit, _ in beside(base, [boost(multiply)])]
    expected = int((Fraction(multiply) - 1) * base.points)
    assert [credit.points for credit in added] == ([expected] if expected else [])
    for credit in added:
        assert (credit.rule_id, credit.reference) == (base.rule_id, base.reference)
        assert (credit.due_at, credit.expires_at) == (base.due_at, base.expires_at)
        assert credit.source_key == f"{base.source_key}+tier:spend"


@given(paid=amounts, multiply=multipliers, back=st.permutations(range(5)), cut=st.integers(0, 5))
def test_returns_take_a_share_and_all_of_them_everything(
    paid: list[int], multiply: str, back: list[int], cut: int
) -> None:
    def kept(returned: list[int]) -> dict[tuple[str, str | None], int]:
        found = standing(
            TERMS,
            order(paid),
            at=NOON,
            zone="Asia/Kolkata",
            returned={str(n): 1 for n in returned},
            boosts=[boost(multiply), boost("2", "other")],
        )
        return {(each.credit.rule_id, each.credit.beside): each.kept for each in found}

    lines = [n for n in back if n < len(paid)]
    whole, some, nothing = kept([]), kept(lines[:cut]), kept(lines)
    assert set(nothing.values()) <= {0}
    total, gone = sum(paid), sum(paid[n] for n in lines[:cut])
    for name, points in some.items():
        # A point that is not gone as a whole is not gone.
        taken = int(Fraction(whole[name] * gone, total)) if gone else 0
        assert points == whole[name] - taken
