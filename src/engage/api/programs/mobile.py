"""The rules in force, as the app shows them to its member."""

from datetime import date, datetime, timedelta
from typing import Any

from litestar import Controller, Request, get
from msgspec import Struct

from engage.api.http.answers import Answer
from engage.api.http.callers import member_of, members_only
from engage.api.http.etags import tagged_answer
from engage.api.http.operation import MEMBER, contract
from engage.api.http.problems import language_of
from engage.domain.calendar import PeriodKind, instant
from engage.domain.checkout.definition import Checkout
from engage.domain.document.worth import Worth
from engage.domain.earning.awards import EveryNthDay, Fixed
from engage.domain.earning.definition import Rule
from engage.domain.market import Market
from engage.domain.money import Money
from engage.domain.program.program import Program
from engage.domain.referrals.definition import Condition, ReferralReward, ReferralTerms
from engage.domain.refusals import UseCase
from engage.domain.withdrawals.definition import Method, WithdrawalTerms
from engage.flows.programs.read import read_in_force
from engage.messages.program_rules import Term, award_term, due_term, expiry_term, limit_term


class RuleView(Struct, frozen=True, kw_only=True):
    """A rule that earns points. `kind` is that of a share, `page` that of a visit. `points` are those of one
    credit, null where they depend on the order: `award` says how. All `limits` must have a free place.
    """

    id: str
    title: str
    activity: str
    kind: str | None
    page: str | None
    points: int | None
    award: Term
    limits: list[Term]
    due: Term


class WorthView(Struct, frozen=True):
    """So many points are worth this."""

    points: int
    value: Money


class CheckoutView(Struct, frozen=True, kw_only=True):
    """Points can pay up to `max_percent` of an order, from a balance of `min_balance` on."""

    min_balance: int
    max_percent: int
    shipping: bool


class WithdrawalTermsView(Struct, frozen=True, kw_only=True):
    """Points can be withdrawn once `open` is true. The limits of a day are null where there are none."""

    open: bool
    opens_at: datetime | None
    methods: list[Method]
    min_points: int
    max_points_a_day: int | None
    max_count_a_day: int | None


class ReferralRewardView(Struct, frozen=True, kw_only=True):
    """The points of one side, once the friend has joined or received a first order of `min_spend`."""

    points: int
    on: Condition
    min_spend: Money | None


class ReferralLimitView(Struct, frozen=True, kw_only=True):
    """The most friends of a member in a window."""

    count: int
    window: PeriodKind


class ReferralTermsView(Struct, frozen=True, kw_only=True):
    """The terms of invitations. `opens_at`: since when codes can be used, null if always. `hold` begins when
    a condition is met, and points are granted after it. A code can be used while the account is no older
    than `account_age_max`.
    """

    opens_at: datetime | None
    advocate: ReferralRewardView | None
    friend: ReferralRewardView | None
    hold: timedelta
    account_age_max: timedelta | None
    limit: ReferralLimitView | None


class ProgramRules(Struct, frozen=True, kw_only=True):
    """The version in force in the member's country. `source` is where members can read all rules. `worth`,
    `checkout`, `withdrawal` and `referral` are null where the program has none.
    """

    id: str
    version: str
    title: str
    in_force_from: date
    source: str | None
    country: str
    currency: str
    rules: list[RuleView]
    expiry: Term
    worth: WorthView | None
    checkout: CheckoutView | None
    withdrawal: WithdrawalTermsView | None
    referral: ReferralTermsView | None


class MemberProgramController(Controller):
    path = "/v1/program"
    tags = ("Me",)
    security = (MEMBER,)

    @get(
        operation_id="getProgram",
        summary="Get the rules in force",
        response_description="The rules in force for the member.",
        opt=contract(UseCase.READ_PROGRAM, etag=True),
    )
    async def program(self, request: Request[Any, Any, Any]) -> Answer[ProgramRules]:
        """Each rule that earns points: how many, how often, and when they are active. Their worth and expiry.

        `text` and titles are in the language of `Accept-Language`, as far as the program's document has them.
        """
        api, member = await member_of(request.scope)
        with members_only():
            program, market = await read_in_force(api.services, member.program_id, member.member_id)
        country = next(country for country, known in program.countries.items() if known is market)
        language = language_of(request.scope)
        headers = [(b"content-language", language.encode()), (b"vary", b"accept-language")]
        return tagged_answer(request.scope, _rules(program, country, market, language), headers=headers)


def _rules(program: Program, country: str, market: Market, language: str) -> ProgramRules:
    titles = {rule.id: rule.title_in(language) for rule in program.rules}
    return ProgramRules(
        id=program.id,
        version=program.version,
        title=program.title,
        in_force_from=program.in_force_from,
        source=program.source,
        country=country,
        currency=market.currency,
        rules=[_rule(rule, language, market.currency, titles) for rule in program.rules],
        expiry=expiry_term(program.expiry, language),
        worth=None if program.worth is None else _worth(program.worth, market.currency),
        checkout=None if program.checkout is None else _checkout(program.checkout),
        withdrawal=None if program.withdrawal is None else _withdrawal(program.withdrawal),
        referral=None if program.referral is None else _referral(program.referral, market),
    )


def _rule(rule: Rule, language: str, currency: str, titles: dict[str, str]) -> RuleView:
    return RuleView(
        id=rule.id,
        title=titles[rule.id],
        activity=rule.on.activity,
        kind=rule.on.kind,
        page=rule.on.page,
        points=rule.award.points if isinstance(rule.award, Fixed | EveryNthDay) else None,
        award=award_term(rule.award, rule.unit, language, currency),
        limits=[limit_term(limit, language, titles) for limit in (rule.limit, *rule.also)],
        due=due_term(rule.due, language),
    )


def _worth(worth: Worth, currency: str) -> WorthView:
    return WorthView(worth.points, Money(worth.minor, currency))


def _checkout(checkout: Checkout) -> CheckoutView:
    return CheckoutView(
        min_balance=checkout.min_balance, max_percent=checkout.max_percent, shipping=checkout.shipping
    )


def _withdrawal(terms: WithdrawalTerms) -> WithdrawalTermsView:
    return WithdrawalTermsView(
        open=terms.open,
        opens_at=terms.opens_at,
        methods=terms.methods,
        min_points=terms.min_points,
        max_points_a_day=terms.max_points_a_day,
        max_count_a_day=terms.max_count_a_day,
    )


def _referral(terms: ReferralTerms, market: Market) -> ReferralTermsView:
    limit = terms.limit
    return ReferralTermsView(
        opens_at=None if terms.from_ is None else instant(terms.from_, market.zone),
        advocate=_referral_reward(terms.advocate, market.currency),
        friend=_referral_reward(terms.friend, market.currency),
        hold=terms.hold,
        account_age_max=terms.account_age_max,
        limit=None if limit is None else ReferralLimitView(count=limit.count, window=limit.window),
    )


def _referral_reward(reward: ReferralReward | None, currency: str) -> ReferralRewardView | None:
    if reward is None:
        return None
    least = reward.min_spend_minor
    min_spend = None if least is None else Money(least, currency)
    return ReferralRewardView(points=reward.points, on=reward.on, min_spend=min_spend)
