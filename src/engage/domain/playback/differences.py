"""What a step expects and what came of it, in the same words, so that they can be compared and told."""

from collections.abc import Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

from engage.domain.calendar import instant
from engage.domain.checkout.offers import CouponOffer, Plan
from engage.domain.earning.decide import NewCredit
from engage.domain.examples.steps import (
    ExpectedBalance,
    ExpectedCode,
    ExpectedCredit,
    ExpectedEnd,
    ExpectedPayment,
    ExpectedQuote,
    Step,
)
from engage.domain.playback.play import Outcome
from engage.domain.rewards.definition import CouponReward
from engage.domain.simulation.member import CheckoutQuote, IssuedCode, SimulatedMember

NOTHING = "nothing"


def local(at: datetime, zone: str) -> str:
    return at.astimezone(ZoneInfo(zone)).isoformat(sep=" ")


def differences(
    step: Step, outcome: Outcome, member: SimulatedMember, zone: str, *, last: bool
) -> Iterator[tuple[str, str]]:
    """(expected, found) of everything that did not come as expected. `last`: on the last of its days."""
    found_refusal = None if outcome.refusal is None else f"refusal {outcome.refusal.code}"
    if step.refused is not None or found_refusal is not None:
        expected = " and ".join(_expected(step, zone)) if step.refused is None else f"refusal {step.refused}"
        found = found_refusal or " and ".join(_found(step, outcome, zone)) or "no refusal"
        if expected != found:
            yield expected, found
            return
    else:
        pairs = zip(_expected(step, zone), _found(step, outcome, zone), strict=True)
        yield from ((expected, found) for expected, found in pairs if expected != found)
    if last:
        yield from _afterwards(step, member, zone)


def _expected(step: Step, zone: str) -> list[str]:
    """One text for each part that the step tells of its outcome."""
    parts = []
    if step.earns is not None:
        parts.append(" and ".join(_wanted(credit, zone) for credit in step.earns) or NOTHING)
    if step.quotes is not None:
        parts.append(_wanted_quote(step.quotes))
    if step.pays is not None:
        parts.append(_wanted_payment(step.pays))
    if step.gives is not None:
        parts.append(_wanted_code(step.gives, zone))
    return parts


def _found(step: Step, outcome: Outcome, zone: str) -> list[str]:
    """The same of what came, in as many words as the step used; all of it where a refusal was expected."""
    parts = []
    if step.earns is not None or (step.refused and outcome.credits is not None):
        parts.append(_credits(step, outcome.credits or [], zone))
    if step.quotes is not None:
        parts.append(NOTHING if outcome.quote is None else _quote(step.quotes, outcome.quote))
    if step.pays is not None or (step.refused and outcome.plan):
        parts.append(NOTHING if outcome.plan is None else _payment(outcome.plan))
    if step.gives is not None or (step.refused and outcome.code):
        parts.append(NOTHING if outcome.code is None else _code(step.gives, outcome.code, zone))
    return parts


def _afterwards(step: Step, member: SimulatedMember, zone: str) -> Iterator[tuple[str, str]]:
    if step.balance is not None:
        now = member.accounts.balance
        found = ExpectedBalance(now.active, now.pending, now.held, now.debt)
        if found != step.balance:
            yield _balance(step.balance), _balance(found)
    if step.expiring is not None:
        wanted = [ExpectedEnd(end.points, _instant(end.expires_at, zone)) for end in step.expiring]
        ending = [ExpectedEnd(points, expires_at) for expires_at, points in member.accounts.ending()]
        if wanted != ending:
            yield _ends(wanted, zone), _ends(ending, zone)


def _wanted(wanted: ExpectedCredit, zone: str) -> str:
    due = wanted.waits_for or _instant(wanted.due_at, zone)
    return _credit(
        wanted.rule, wanted.points, wanted.source_key, due, _instant(wanted.expires_at, zone), zone
    )


def _credits(step: Step, credits: list[NewCredit], zone: str) -> str:
    """In the order of the step; what it does not expect comes last."""
    by_rule = {wanted.rule: (n, wanted) for n, wanted in enumerate(step.earns or ())}
    unexpected = len(by_rule), ExpectedCredit(rule="", points=1)
    told = sorted((by_rule.get(credit.rule_id, unexpected)[0], n) for n, credit in enumerate(credits))
    words = [_told(by_rule.get(credits[n].rule_id, unexpected)[1], credits[n], zone) for _, n in told]
    return " and ".join(words) or NOTHING


def _told(wanted: ExpectedCredit, credit: NewCredit, zone: str) -> str:
    """A credit that came, silent where the expectation is."""
    about_due = wanted.due_at is not None or wanted.waits_for is not None
    return _credit(
        credit.rule_id,
        credit.points,
        None if wanted.source_key is None else credit.source_key,
        credit.due_at or "delivery" if about_due else None,
        None if wanted.expires_at is None else credit.expires_at or "never",
        zone,
    )


def _credit(
    rule: str, points: int, source_key: str | None, due: datetime | str | None, ends: object, zone: str
) -> str:
    words = [f"{rule} {points}"]
    if source_key is not None:
        words.append(f"as {source_key}")
    if due is not None:
        words.append(f"due {local(due, zone)}" if isinstance(due, datetime) else f"due on {due}")
    if ends is not None:
        words.append(f"until {local(ends, zone) if isinstance(ends, datetime) else ends}")
    return " ".join(words)


def _wanted_quote(wanted: ExpectedQuote) -> str:
    words = [_most(wanted.max_points, wanted.discount_minor)]
    if wanted.reasons is not None:
        words.append(_because(wanted.reasons))
    if wanted.coupons is not None:
        offers = {each.reward: (each.discount_minor, each.reasons) for each in wanted.coupons}
        words.append(_coupons(offers))
    return ", ".join(words)


def _quote(wanted: ExpectedQuote, quote: CheckoutQuote) -> str:
    words = [_most(quote.points.max_points, quote.points.value_minor)]
    if wanted.reasons is not None:
        words.append(_because([str(reason) for reason in quote.points.reasons]))
    if wanted.coupons is not None:
        words.append(_coupons({reward: _offer(offer) for reward, offer in quote.coupons.items()}))
    return ", ".join(words)


def _offer(offer: CouponOffer) -> tuple[int, list[str]]:
    return offer.discount_minor, [str(reason) for reason in offer.reasons]


def _most(points: int, minor: int) -> str:
    return f"at most {points} points for {minor}"


def _because(reasons: list[str]) -> str:
    return f"because of {' and '.join(reasons) or NOTHING}"


def _coupons(offers: dict[str, tuple[int, list[str]]]) -> str:
    words = [
        f"{reward} {' and '.join(reasons) or minor}" for reward, (minor, reasons) in sorted(offers.items())
    ]
    return "coupons " + (" and ".join(words) or "none")


def _wanted_payment(wanted: ExpectedPayment) -> str:
    return f"{wanted.points} points, {wanted.discount_minor} in all"


def _payment(plan: Plan) -> str:
    return f"{plan.points} points, {plan.discount_minor} in all"


def _wanted_code(wanted: ExpectedCode, zone: str) -> str:
    what = f"a coupon of {wanted.value_minor}" if wanted.product_id is None else f"for {wanted.product_id}"
    return what + _until(_instant(wanted.expires_at, zone), zone)


def _code(wanted: ExpectedCode | None, code: IssuedCode, zone: str) -> str:
    if isinstance(code.reward, CouponReward):
        what = f"a coupon of {code.reward.value_minor}"
    else:
        what = f"for {code.reward.product_id}"
    if wanted is None or wanted.expires_at is None:
        return what
    return what + (_until(code.expires_at, zone) or " until never")


def _until(at: datetime | None, zone: str) -> str:
    return "" if at is None else f" until {local(at, zone)}"


def _balance(balance: ExpectedBalance) -> str:
    return f"{balance.active} active, {balance.pending} pending, {balance.held} held, {balance.debt} in debt"


def _ends(ends: list[ExpectedEnd], zone: str) -> str:
    words = [f"{end.points}{_until(end.expires_at, zone) or ' for ever'}" for end in ends]
    return " and ".join(words) or "nothing that is active"


def _instant(at: datetime | None, zone: str) -> datetime | None:
    return None if at is None else instant(at, zone)
