"""The table of rewards, and the rules for coupons."""

from engage.domain.program.program import Program
from engage.domain.program_text.description import Description, SectionTable
from engage.domain.program_text.wording import duration, money, one_of
from engage.domain.rewards.definition import AnyReward, CouponReward, Coupons

HEADERS = ("reward", "title", "points", "gives", "valid for", "how many")


def describe(program: Program) -> Description:
    if not program.rewards:
        return Description()
    has_coupons = any(isinstance(reward, CouponReward) for reward in program.rewards)
    rows = [
        (
            reward.id,
            reward.title,
            f"{reward.points:,}",
            _gives(reward, program),
            "ever" if reward.valid_for is None else duration(reward.valid_for),
            _limits(reward),
        )
        for reward in program.rewards
    ]
    return Description(
        [_coupons(program.coupons)] if has_coupons else [],
        SectionTable(HEADERS, rows, HEADERS.index("points")),
    )


def _coupons(coupons: Coupons) -> str:
    if coupons.suspended:
        return "Coupons are suspended."
    number = "One coupon" if coupons.per_order == 1 else f"Up to {coupons.per_order} coupons"
    without = f", none for {one_of(coupons.excluded_products)}" if coupons.excluded_products else ""
    return f"{number} an order{without}."


def _gives(reward: AnyReward, program: Program) -> str:
    if not isinstance(reward, CouponReward):
        return f"the right to buy {reward.product_id}"
    words = f"{money(reward.value_minor, program)} off an order"
    if reward.min_order_minor:
        words += f" of {money(reward.min_order_minor, program)} or more"
    if reward.excluded_products:
        words += f", not for {one_of(reward.excluded_products)}"
    return words


def _limits(reward: AnyReward) -> str:
    """List the stock and the limit of a member, or `-` without any."""
    words = []
    if reward.suspended:
        words.append("suspended")
    if reward.stock is not None:
        words.append(f"{reward.stock:,} in all")
    if reward.per_member is not None:
        window = "" if reward.per_member.window is None else f" a {reward.per_member.window}"
        words.append(f"{reward.per_member.count} a member{window}")
    return ", ".join(words) or "-"
