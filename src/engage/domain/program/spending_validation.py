"""What makes the part of a program wrong that says what points are good for."""

from collections.abc import Iterator
from datetime import timedelta

from engage.domain.document import iso_codes
from engage.domain.document.durations import iso, outside
from engage.domain.document.errors import Problem, shown
from engage.domain.earning.rules import After, Brackets, PerSpend
from engage.domain.program.order_validation import scope_problems
from engage.domain.program.program import Program
from engage.domain.rewards.definition import CouponReward
from engage.domain.withdrawals.definition import WithdrawalTerms

NOTHING = timedelta()
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)

LONGEST_WAIT = 366 * DAY  # For points, for a reversal, for a promise.
LONGEST_HOLD = 7 * DAY
LONGEST_VALIDITY = 3660 * DAY


def spending_problems(program: Program) -> Iterator[Problem]:
    yield from outside("grace", program.grace, MINUTE, LONGEST_WAIT)
    yield from _promise(program)
    yield from _minor_units(program)
    yield from _worth(program)
    if program.checkout is not None:
        yield from outside("checkout.hold_for", program.checkout.hold_for, MINUTE, LONGEST_HOLD)
        yield from scope_problems(program.checkout.orders, "checkout.orders")
    if program.withdrawal is not None:
        yield from _withdrawal(program.withdrawal)
    yield from _rewards(program)


def _promise(program: Program) -> Iterator[Problem]:
    """A rule alone can break it already. How long a delivery takes nobody knows beforehand."""
    yield from outside("promise", program.promise, MINUTE, LONGEST_WAIT)
    for n, rule in enumerate(program.rules):
        if program.promise is not None and isinstance(rule.due, After) and rule.due.delay > program.promise:
            expected = f"at most the {iso(program.promise)} that members were promised"
            yield Problem(f"rules[{n}].due.delay", expected, shown(iso(rule.due.delay)))


def _minor_units(program: Program) -> Iterator[Problem]:
    """One number cannot be an amount of two currencies of which one has cents and the other has none."""
    awards = any(isinstance(rule.award, PerSpend | Brackets) for rule in program.rules)
    coupons = any(isinstance(reward, CouponReward) for reward in program.rewards)
    if not awards and not coupons and program.worth is None:
        return
    first: tuple[str, int] | None = None
    for country, market in program.countries.items():
        if market.currency not in iso_codes.currencies():
            continue
        decimals = iso_codes.decimals(market.currency)
        first = first or (market.currency, decimals)
        if decimals != first[1]:
            expected = f"a currency with {first[1]} decimals, like {first[0]}: amounts are in minor units"
            yield Problem(f"countries.{country}.currency", expected, f"{market.currency} with {decimals}")


def _worth(program: Program) -> Iterator[Problem]:
    worth = program.worth
    if worth is None:
        for name in ("checkout", "withdrawal"):
            if getattr(program, name) is not None:
                yield Problem("worth", f"what points are worth, as {name} pays with them", "nothing")
    elif worth.minor % worth.points and worth.points % worth.minor:
        # Anything else would leave a fraction of a minor unit, or of a point, in each second order.
        expected = "a whole number of minor units for a point, or of points for a minor unit"
        yield Problem("worth", expected, f"{worth.minor} minor units for {worth.points} points")


def _withdrawal(withdrawal: WithdrawalTerms) -> Iterator[Problem]:
    path = "withdrawal"
    for n, method in enumerate(withdrawal.methods):
        if method in withdrawal.methods[:n]:
            yield Problem(f"{path}.methods[{n}]", "each once", f"{shown(method)} again")
    most = withdrawal.max_points_a_day
    if most is not None and most < withdrawal.min_points:
        expected = f"at least the {withdrawal.min_points} of min_points"
        yield Problem(f"{path}.max_points_a_day", expected, str(most))
    yield from outside(f"{path}.number_cooldown", withdrawal.number_cooldown, NOTHING, LONGEST_WAIT)
    opens_at = withdrawal.opens_at
    if opens_at is not None and withdrawal.open:
        yield Problem(f"{path}.opens_at", "none: it is open", shown(opens_at))
    elif opens_at is not None and opens_at.tzinfo is None:
        yield Problem(f"{path}.opens_at", "a time with an offset, such as …Z", shown(opens_at))


def _rewards(program: Program) -> Iterator[Problem]:
    paths: dict[str, str] = {}
    for n, reward in enumerate(program.rewards):
        path = f"rewards[{n}]"
        first = paths.setdefault(reward.id, f"{path}.id")
        if first != f"{path}.id":
            yield Problem(f"{path}.id", "an id of its own", f"{shown(reward.id)}, which {first} has")
        yield from outside(f"{path}.valid_for", reward.valid_for, HOUR, LONGEST_VALIDITY)
        if isinstance(reward, CouponReward) and 0 < reward.min_order_minor < reward.value_minor:
            expected = f"at least the {reward.value_minor} of the coupon itself, or none"
            yield Problem(f"{path}.min_order_minor", expected, str(reward.min_order_minor))
