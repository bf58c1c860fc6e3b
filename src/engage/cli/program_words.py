"""The parts of a program in words, for people who read tables."""

from calendar import month_name
from collections.abc import Iterator, Sequence
from datetime import timedelta

from engage.domain.accounts.expiry import EndOfYear, Expiry, Never, Rolling, Yearly
from engage.domain.checkout.definition import Checkout
from engage.domain.document import iso_codes
from engage.domain.document.order_scope import OrderScope
from engage.domain.earning.rules import (
    After,
    Award,
    Brackets,
    DailyStreak,
    Due,
    EveryNthDay,
    Fixed,
    Limit,
    NextDay,
    Once,
    OncePer,
    OnDelivery,
    PerSpend,
    PerWindow,
    Rule,
    SameAs,
    TagPoints,
)
from engage.domain.members.definition import Eligibility
from engage.domain.program.program import Program
from engage.domain.rewards.definition import AnyReward, CouponReward
from engage.domain.withdrawals.definition import WithdrawalTerms


def money(minor: int, program: Program) -> str:
    """An amount in each of the program's currencies: 5.00 EUR/GBP, or 1,000 XOF."""
    by_decimals: dict[int, list[str]] = {}
    for currency in dict.fromkeys(market.currency for market in program.countries.values()):
        by_decimals.setdefault(iso_codes.decimals(currency), []).append(currency)
    amounts = [
        f"{minor / 10**decimals:,.{decimals}f} {'/'.join(currencies)}"
        for decimals, currencies in by_decimals.items()
    ]
    return " or ".join(amounts)


def eligible(eligibility: Eligibility) -> str:
    kinds = {"person": "people", "company": "companies"}
    who = " and ".join(kinds[kind] for kind in dict.fromkeys(eligibility.kinds))
    age = f" of {eligibility.min_age} and over" if eligibility.min_age else ""
    once = ", one account a person" if eligibility.one_account_a_person else ""
    return f"{who}{age}{once}"


def ending(expiry: Expiry) -> str:
    match expiry:
        case Never():
            return "Points never end."
        case Rolling(months=months):
            return f"Points end {months} months after they became active."
        case Yearly(month=month, day=day, at=at, months=months):
            return f"Points end on {day} {month_name[month]} at {at:%H:%M}, when older than {months} months."
        case EndOfYear(years_later=0):
            return "Points end with the year they became active in."
        case EndOfYear(years_later=1):
            return "Points end with the year after the one they became active in."
        case EndOfYear(years_later=years):
            return f"Points end with the year that comes {years} years after they became active."


def activity(rule: Rule) -> str:
    name = rule.on.activity.replace("_", " ")
    words = [name if rule.on.kind is None else f"{name}, {rule.on.kind}", *scope(rule.orders)]
    return "; ".join(words)


def scope(orders: OrderScope) -> Iterator[str]:
    """Which orders; nothing where it is all of them."""
    if orders.channels is not None:
        yield f"by {listed(orders.channels)}"
    if orders.refused_methods:
        yield f"not paid by {listed([method.replace('_', ' ') for method in orders.refused_methods])}"
    if orders.online_at_pickup:
        yield "online only when paid at pick-up"
    if not orders.promotion_lines:
        yield "no lines in a promotion"


def often(limit: Limit) -> str:
    match limit:
        case Once():
            return "once"
        case OncePer(field=field):
            return f"once per {field.removesuffix('_id')}"
        case PerWindow(count=count, window=window):
            return f"{count} a {window}"
        case DailyStreak():
            return "once a day, days in a row count"
        case SameAs(rule=rule):
            return f"together with {rule}"


def points(award: Award, program: Program) -> str:
    match award:
        case Fixed(points=number):
            return str(number)
        case EveryNthDay(points=number, days=days):
            return f"{number} every {days} days in a row"
        case PerSpend(points=number, step_minor=step, shipping=shipping):
            return f"{number} per {money(step, program)}" + (", shipping too" if shipping else "")
        case TagPoints():
            return "as on the price tag"
        case Brackets(brackets=brackets, shipping=shipping):
            words = ", ".join(f"{each.points:,} from {money(each.from_minor, program)}" for each in brackets)
            return words + (", shipping too" if shipping else "")


def delay(due: Due) -> str:
    match due:
        case After(delay=length):
            return f"after {duration(length)}" if length else "at once"
        case OnDelivery():
            return "on delivery"
        case NextDay():
            return "on the next day"


def duration(length: timedelta) -> str:
    """5 minutes, 24 hours, 16 days: in the largest unit that it is a whole number of, days from two on."""
    seconds = int(length.total_seconds())
    for unit, size, least in (("day", 86_400, 2), ("hour", 3_600, 1), ("minute", 60, 1)):
        if seconds % size == 0 and seconds >= size * least:
            number = seconds // size
            return f"{number} {unit}" + ("s" if number > 1 else "")
    return f"{length.total_seconds():g} seconds"


def spending(program: Program) -> Iterator[str]:
    """What points are good for, a sentence each."""
    worth = program.worth
    if worth is not None:
        are = "point is" if worth.points == 1 else "points are"
        yield f"{worth.points:,} {are} worth {money(worth.minor, program)}."
    if program.checkout is not None:
        yield _checkout(program.checkout)
    if program.withdrawal is not None:
        yield _withdrawal(program.withdrawal)
    if any(isinstance(reward, CouponReward) for reward in program.rewards):
        yield _coupons(program)


def _checkout(checkout: Checkout) -> str:
    most = "all of an order" if checkout.max_percent == 100 else f"up to {checkout.max_percent} % of an order"
    words = [
        f"Points pay {most}, shipping {'too' if checkout.shipping else 'not counted'}",
        f"from a balance of {checkout.min_balance:,} on",
        *scope(checkout.orders),
        f"held for {duration(checkout.hold_for)}",
    ]
    return "; ".join(words) + "."


def _withdrawal(withdrawal: WithdrawalTerms) -> str:
    ways = listed([method.replace("_", " ") for method in withdrawal.methods])
    words = [f"Points can be taken out as {ways}, from {withdrawal.min_points:,} on"]
    caps = []
    if withdrawal.max_points_a_day is not None:
        caps.append(f"{withdrawal.max_points_a_day:,} points")
    if withdrawal.max_count_a_day is not None:
        caps.append(f"{withdrawal.max_count_a_day} times")
    if caps:
        words.append(f"at most {' and '.join(caps)} a day")
    if withdrawal.number_cooldown:
        words.append(f"{duration(withdrawal.number_cooldown)} after a new phone number")
    if not withdrawal.open:
        since = "" if withdrawal.opens_at is None else f" before {withdrawal.opens_at:%Y-%m-%d %H:%M %Z}"
        words.append(f"not open yet{since}")
    return "; ".join(words) + "."


def _coupons(program: Program) -> str:
    coupons = program.coupons
    if coupons.suspended:
        return "Coupons are suspended."
    number = "One coupon" if coupons.per_order == 1 else f"Up to {coupons.per_order} coupons"
    without = f", none for {listed(coupons.excluded_products)}" if coupons.excluded_products else ""
    return f"{number} an order{without}."


def gives(reward: AnyReward, program: Program) -> str:
    if not isinstance(reward, CouponReward):
        return f"the right to buy {reward.product_id}"
    words = f"{money(reward.value_minor, program)} off an order"
    if reward.min_order_minor:
        words += f" of {money(reward.min_order_minor, program)} or more"
    if reward.excluded_products:
        words += f", not for {listed(reward.excluded_products)}"
    return words


def bounds(reward: AnyReward) -> str:
    """How many there are, and for whom."""
    words = []
    if reward.suspended:
        words.append("suspended")
    if reward.stock is not None:
        words.append(f"{reward.stock:,} in all")
    if reward.per_member is not None:
        window = "" if reward.per_member.window is None else f" a {reward.per_member.window}"
        words.append(f"{reward.per_member.count} a member{window}")
    return ", ".join(words) or "-"


def listed(words: Sequence[str]) -> str:
    """`a`, `a or b`, `a, b or c`."""
    return " or ".join(part for part in (", ".join(words[:-1]), words[-1]) if part)
