"""Mutations of a program: one number, flag or kind is changed. Its examples must notice each."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from datetime import time as clock_time
from typing import Any, TypeVar, get_args

from msgspec import Struct
from msgspec.structs import replace

from engage.domain.accounts.expiry import EndOfYear, Expiry, Never, Rolling, Yearly
from engage.domain.activity import Channel
from engage.domain.calendar import PeriodKind, WindowKind
from engage.domain.document.order_scope import OrderScope
from engage.domain.earning.awards import Award, Brackets, EveryNthDay, Fixed, PerSpend, TagPoints
from engage.domain.earning.definition import Rule
from engage.domain.earning.due import After, NextDay, OnDelivery
from engage.domain.earning.limits import FirstOrders, PerWindow
from engage.domain.program.program import Program
from engage.domain.protection.definition import Protection, VelocityRule, VelocityWindow
from engage.domain.quizzes.definition import Quiz
from engage.domain.rewards.definition import AnyReward, CouponReward

SECOND = timedelta(seconds=1)
CHANNELS: Sequence[Channel] = get_args(Channel)

Change = tuple[str, Program]

Part = TypeVar("Part", bound=Struct)


def changes(program: Program) -> Iterator[Change]:
    """Yield (description of the change, changed program)."""
    for rule in program.rules:
        for change, changed in _rule(rule):
            rules = [changed if other.id == rule.id else other for other in program.rules]
            yield f"{rule.id} {change}", replace(program, rules=rules)
    for expiry in _expiry(program.expiry):
        yield f"expiry {expiry}", replace(program, expiry=expiry)
    yield from _eligibility(program)
    yield from _checkout(program)
    yield from _rewards(program)
    yield from _quizzes(program)
    if program.withdrawal is not None:
        yield "withdrawal open", replace(program, withdrawal=replace(program.withdrawal, open=True))
        for method in program.withdrawal.methods:
            others = [other for other in program.withdrawal.methods if other != method]
            yield f"no {method}", replace(program, withdrawal=replace(program.withdrawal, methods=others))


def _quizzes(program: Program) -> Iterator[Change]:
    for n, quiz in enumerate(program.quizzes):
        for change, changed in _quiz(quiz):
            quizzes = [*program.quizzes[:n], changed, *program.quizzes[n + 1 :]]
            yield f"quiz {quiz.id} {change}", replace(program, quizzes=quizzes)


def _quiz(quiz: Quiz) -> Iterator[tuple[str, Quiz]]:
    yield "one more attempt", _with(quiz, attempts=replace(quiz.attempts, count=quiz.attempts.count + 1))
    for window in get_args(PeriodKind):
        if window != quiz.attempts.window:
            yield f"attempts by {window}", _with(quiz, attempts=replace(quiz.attempts, window=window))
    for length in (quiz.time_limit + SECOND, quiz.time_limit - SECOND):
        yield f"time limit {length}", _with(quiz, time_limit=length)
    yield "one less drawn", _with(quiz, draw=quiz.asked - 1)
    for mark in ((quiz.pass_mark or 0) - 1, (quiz.pass_mark or 0) + 1):
        yield f"pass mark {mark}", _with(quiz, pass_mark=mark)
    yield "more a right answer", _with(quiz, points_per_right=(quiz.points_per_right or 0) + 1)
    yield "more for a full score", _with(quiz, points_full_score=(quiz.points_full_score or 0) + 1)
    yield "due the next day", _with(quiz, due=NextDay())


def _with(quiz: Quiz, **changed: Any) -> Quiz:
    return replace(quiz, **changed)


def velocity_changes(program: Program) -> Iterator[Change]:
    """Change what a program says about farming, as `changes` does with the rest."""
    assert program.protection is not None
    velocity = program.protection.velocity
    for n, rule in enumerate(velocity):
        for change, changed in _velocity(rule):
            protection = Protection(velocity=[*velocity[:n], changed, *velocity[n + 1 :]])
            yield f"{rule.id} {change}", replace(program, protection=protection)


def _velocity(rule: VelocityRule) -> Iterator[tuple[str, VelocityRule]]:
    for fewer in _numbers(rule, "at_most"):
        yield f"at most {fewer.at_most}", fewer
    for hold in (rule.hold - SECOND, rule.hold + SECOND):
        yield f"hold {hold}", replace(rule, hold=hold)
    for window in get_args(VelocityWindow):
        if window != rule.per_window:
            yield f"per {window}", replace(rule, per_window=window)
    yield "per another source", replace(rule, per="network" if rule.per == "device" else "device")
    yield "counts others", replace(rule, counts="activities" if rule.counts == "members" else "members")
    yield "on other activities", replace(rule, on=[] if rule.on else ["visit"])
    for attested in (True, False) if rule.per == "device" else ():
        yield f"attested {attested}", replace(rule, attested=attested)


def _rule(rule: Rule) -> Iterator[tuple[str, Rule]]:
    for award in _award(rule.award):
        yield f"award {award}", replace(rule, award=award)
    match rule.due:
        case After(delay=delay):
            for length in (delay * 2, delay - SECOND):
                yield f"delay {length}", replace(rule, due=After(length))
        case OnDelivery():
            if not isinstance(rule.limit, FirstOrders):  # They have no place before the delivery.
                yield "at once", replace(rule, due=After(timedelta()))
            yield "next day", replace(rule, due=NextDay())
        case NextDay():
            yield "after a day", replace(rule, due=After(timedelta(days=1)))
            yield "on delivery", replace(rule, due=OnDelivery())
    if isinstance(rule.limit, PerWindow):
        for count in {max(1, rule.limit.count - 1), rule.limit.count + 1} - {rule.limit.count}:
            yield f"count {count}", replace(rule, limit=replace(rule.limit, count=count))
        other: WindowKind = "day" if rule.limit.window == "month" else "month"
        yield "window", replace(rule, limit=replace(rule.limit, window=other))
    if isinstance(rule.limit, FirstOrders):
        for limit in _numbers(rule.limit, "count"):
            yield f"the first {limit.count}", replace(rule, limit=limit)
    if rule.on.activity == "order":
        for what, scope in _scope(rule.orders):
            yield what, replace(rule, orders=scope)


def _award(award: Award) -> Iterator[Award]:
    match award:
        case Fixed():
            yield from _numbers(award, "points")
        case EveryNthDay(days=days):
            yield from _numbers(award, "points", "days")
            yield replace(award, days=days * 2)
        case PerSpend():
            yield from _numbers(award, "points", "step_minor")
            yield replace(award, shipping=not award.shipping)
        case TagPoints():
            yield Fixed(points=1)
        case Brackets(brackets=brackets):
            yield replace(award, shipping=not award.shipping)
            for n, bracket in enumerate(brackets):
                for changed in _numbers(bracket, "from_minor", "points"):
                    yield replace(award, brackets=[*brackets[:n], changed, *brackets[n + 1 :]])
                yield replace(award, brackets=[*brackets[:n], *brackets[n + 1 :]])


def _scope(scope: OrderScope) -> Iterator[tuple[str, OrderScope]]:
    yield "promotion lines", replace(scope, promotion_lines=not scope.promotion_lines)
    yield "online at pick-up", replace(scope, online_at_pickup=not scope.online_at_pickup)
    for method in scope.refused_methods:
        others = [other for other in scope.refused_methods if other != method]
        yield f"{method} not refused", replace(scope, refused_methods=others)
    for channel in scope.channels or CHANNELS:
        rest = [other for other in scope.channels or CHANNELS if other != channel]
        yield f"not by {channel}", replace(scope, channels=rest)
    if scope.channels is not None:
        yield "any channel", replace(scope, channels=None)


def _expiry(expiry: Expiry) -> Iterator[Expiry]:
    match expiry:
        case Never():
            yield Rolling(months=120)
        case Rolling(months=months):
            yield from (Rolling(months=months - 1), Rolling(months=months + 1), Never())
        case Yearly(months=months, day=day, at=at):
            for other in (months - 1, months + 1):
                yield replace(expiry, months=other)
            yield replace(expiry, month=expiry.month + 1)
            yield replace(expiry, day=day + 1)
            for step in (SECOND, -SECOND):
                yield replace(expiry, at=_moved(at, step))
        case EndOfYear(years_later=years):
            yield from (EndOfYear(years_later=years - 1), EndOfYear(years_later=years + 1))


def _moved(at: clock_time, step: timedelta) -> clock_time:
    return (datetime.combine(datetime(2000, 1, 2, tzinfo=UTC), at) + step).time()


def _eligibility(program: Program) -> Iterator[Change]:
    rules = program.eligibility
    ages = [18] if rules.min_age is None else [rules.min_age - 1, rules.min_age + 1]
    for age in ages:
        yield f"age {age}", replace(program, eligibility=replace(rules, min_age=age))
    for kind in ("person", "company"):
        kinds = [other for other in rules.kinds if other != kind]
        changed: Any = kinds if kind in rules.kinds else [*kinds, kind]
        yield f"{kind} or not", replace(program, eligibility=replace(rules, kinds=changed))


def _checkout(program: Program) -> Iterator[Change]:
    if program.checkout is None:
        return
    assert program.worth is not None
    for worth in _numbers(program.worth, "points", "minor"):
        yield f"{worth}", replace(program, worth=worth)
    checkout = program.checkout
    yield "shipping", replace(program, checkout=replace(checkout, shipping=not checkout.shipping))
    for changed in _numbers(checkout, "min_balance", "max_percent"):
        if changed.max_percent <= 100:
            yield f"{changed}", replace(program, checkout=changed)
    for length in (checkout.hold_for - SECOND, checkout.hold_for + SECOND):
        yield f"hold for {length}", replace(program, checkout=replace(checkout, hold_for=length))
    for what, scope in _scope(checkout.orders):
        yield f"checkout {what}", replace(program, checkout=replace(checkout, orders=scope))


def _rewards(program: Program) -> Iterator[Change]:
    # Where points never end, none can be reinstated after their end.
    if program.rewards or not isinstance(program.expiry, Never):
        for length in (program.grace - SECOND, program.grace + SECOND):
            yield f"grace {length}", replace(program, grace=length)
    for reward in program.rewards:
        for n, changed in enumerate(_reward(reward)):
            rewards = [changed if other.id == reward.id else other for other in program.rewards]
            yield f"{reward.id} {n}", replace(program, rewards=rewards)
    if any(isinstance(reward, CouponReward) for reward in program.rewards):
        coupons = program.coupons
        yield "coupons suspended", replace(program, coupons=replace(coupons, suspended=True))
        more = replace(coupons, per_order=coupons.per_order + 1)
        yield "coupons an order", replace(program, coupons=more)


def _reward(reward: AnyReward) -> Iterator[AnyReward]:
    yield replace(reward, suspended=True)
    yield from _numbers(reward, "points")
    assert reward.valid_for is not None
    for length in (reward.valid_for - SECOND, reward.valid_for + SECOND):
        yield replace(reward, valid_for=length)
    if reward.per_member is not None:
        for limit in _numbers(reward.per_member, "count"):
            yield replace(reward, per_member=limit)
    if isinstance(reward, CouponReward):
        yield from _numbers(reward, "value_minor")
        if reward.min_order_minor:
            yield from _numbers(reward, "min_order_minor")
    else:
        yield replace(reward, product_id="another")


def _numbers(part: Part, *names: str) -> Iterator[Part]:
    """Yield each number plus one and, unless it is 1 or less, minus one."""
    for name in names:
        number = getattr(part, name)
        yield replace(part, **{name: number + 1})
        if number > 1:
            yield replace(part, **{name: number - 1})
