"""The table of rewards, and the rules for coupons."""

from engage.domain.program.program import Program
from engage.domain.rewards.definition import AnyReward, CouponReward, Coupons
from engage.messages.program_text.description import Description, SectionTable
from engage.messages.program_text.wording import Wording


def describe(program: Program, words: Wording) -> Description:
    if not program.rewards:
        return Description()
    has_coupons = any(isinstance(reward, CouponReward) for reward in program.rewards)
    headers = words.headers("reward", "title", "points", "gives", "valid_for", "how_many")
    rows = [_row(reward, words) for reward in program.rewards]
    sentences = _coupons(program.coupons, words) if has_coupons else []
    return Description(sentences, SectionTable(headers, rows, 2))


def _row(reward: AnyReward, words: Wording) -> tuple[str, ...]:
    return (
        reward.id,
        reward.title,
        words.number(reward.points),
        _gives(reward, words),
        words.text("rewards.ever") if reward.valid_for is None else words.duration(reward.valid_for),
        _limits(reward, words),
    )


def _coupons(coupons: Coupons, words: Wording) -> list[str]:
    if coupons.suspended:
        return [words.text("rewards.suspended")]
    sentences = [words.text("rewards.per_order", counted="n", n=coupons.per_order)]
    if coupons.excluded_products:
        products = words.one_of(coupons.excluded_products)
        sentences.append(words.text("rewards.excluded", products=products))
    return sentences


def _gives(reward: AnyReward, words: Wording) -> str:
    if not isinstance(reward, CouponReward):
        return words.text("rewards.right", product=reward.product_id)
    money = words.money(reward.value_minor)
    shown = words.text("rewards.off", money=money)
    if reward.min_order_minor:
        shown = words.text("rewards.off_from", money=money, least=words.money(reward.min_order_minor))
    if reward.excluded_products:
        shown += ", " + words.text("rewards.not_for", products=words.one_of(reward.excluded_products))
    return shown


def _limits(reward: AnyReward, words: Wording) -> str:
    """The stock and the limit of a member, or `-` without any."""
    parts = []
    if reward.suspended:
        parts.append(words.text("rewards.is_suspended"))
    if reward.stock is not None:
        parts.append(words.text("rewards.stock", n=reward.stock))
    if (limit := reward.per_member) is not None:
        parts.append(words.text("rewards.per_member", many=words.per(limit.count, limit.window)))
    return ", ".join(parts) or "-"
