"""A simulated member: activities and orders under one version of a program, and the state of its features."""

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Literal, TypeVar

from msgspec.structs import replace

from engage.domain.activity import AnyActivity, Order, Registration
from engage.domain.calendar import local_date
from engage.domain.earning import orders
from engage.domain.earning.boost import Boost
from engage.domain.earning.confirmation import confirmed, hold_of
from engage.domain.earning.credit import NewCredit
from engage.domain.earning.freeze_purchase import check_points, price, with_one_more
from engage.domain.earning.limits import DailyStreak
from engage.domain.earning.order_facts import OrderFacts, OrderPayment, Return
from engage.domain.earning.streak import LostRun, StreakView, lost_run, view
from engage.domain.earning.terms import EarningTerms
from engage.domain.keys import boosted_key, order_reference
from engage.domain.market import Market
from engage.domain.members.definition import Eligibility
from engage.domain.members.eligibility import check_birth_date, reasons_against
from engage.domain.refusals import Code, Refusal
from engage.domain.simulation.account import SimulatedAccount
from engage.domain.simulation.first_orders import SimulatedFirstOrders
from engage.domain.simulation.limits import SimulatedLimits


class SimulatedFeature:
    """Base of a feature's state for one member. A feature overrides what concerns it."""

    def advance(self, at: datetime) -> None:
        """Do what falls due by `at`, before points that are due by then become active."""

    def order_discount(self, order_id: str) -> int:
        """Return the part of an order that the feature pays, in minor units."""
        return 0

    def terms(self, terms: EarningTerms, at: datetime) -> EarningTerms:
        """Return the earning terms of an activity at `at`, by what was known before it."""
        return terms

    def offers(self, rule_id: str, at: datetime) -> bool:
        """Return whether the member is offered the definition whose credits name this rule."""
        return True

    def boosts(
        self, credits: Sequence[NewCredit], at: datetime, order: Order | None = None
    ) -> Sequence[Boost]:
        """Return what boosts the credits of an activity at `at`, by what was known before it. `order` is the
        activity where it is one.
        """
        return ()

    def unpaid(self, credits: Sequence[NewCredit], at: datetime) -> Collection[str]:
        """Return the rules that cannot pay their credits of an activity at `at`, by what was known before."""
        return ()

    def hold_back(
        self, name: str, activity: str, credits: Sequence[NewCredit], at: datetime
    ) -> Sequence[NewCredit]:
        """Return the credits of an activity of a kind, due later where somebody should look at them first."""
        return credits

    def order_changed(self, order_id: str, facts: OrderFacts, at: datetime) -> None:
        """React to an order that was paid, delivered, cancelled or returned, before its credits change."""

    def react(self, at: datetime) -> list[NewCredit]:
        """Bring what follows from the member's facts to what it should be; the credits that this pays."""
        return []


F = TypeVar("F", bound=SimulatedFeature)


class SimulatedMember:
    """One member of a market. `grace`: how long points and coupons last that come back after their end."""

    def __init__(
        self, terms: EarningTerms, market: Market, *, eligibility: Eligibility, grace: timedelta
    ) -> None:
        self.terms = terms
        self.market = market
        self.grace = grace
        self.limits = SimulatedLimits()
        self.account = SimulatedAccount(grace=grace)
        self.account.boosts_of = lambda credit: self.boosts([credit], credit.activity_at)
        self.orders: dict[str, OrderFacts] = {}
        self.first_orders = SimulatedFirstOrders(self)
        self.joined_at: datetime | None = None  # By then they are a member.
        self.confirmed: dict[str, datetime] = {}  # Times of confirmations, by reference.
        self.now = datetime.min.replace(tzinfo=UTC)  # How far `advance` has gone.
        self._eligibility = eligibility
        self._features: dict[type[SimulatedFeature], SimulatedFeature] = {}
        self._terms_of: dict[str, EarningTerms] = {}  # What decided, by reference.

    def add(self, feature: SimulatedFeature) -> None:
        self._features[type(feature)] = feature

    def feature(self, kind: type[F]) -> F:
        """The state of a feature, which a section's `simulate` has made."""
        feature = self._features[kind]
        assert isinstance(feature, kind)
        return feature

    def advance(self, at: datetime) -> None:
        """Do everything that falls due by `at`. The first time is when they join, unless they did before."""
        self.joined_at = self.joined_at or at
        for feature in self._features.values():
            feature.advance(at)
        self.account.advance(at)
        self.now = at

    def react(self, at: datetime) -> list[NewCredit]:
        """Let the features do what follows from the facts, until nothing does; the credits that are paid."""
        earned: list[NewCredit] = []
        while True:
            taken_back = self.account.taken_back
            new = self.first_orders.settle(at)
            new += [credit for feature in self._features.values() for credit in feature.react(at)]
            earned += new
            if not new and self.account.taken_back == taken_back:
                return earned

    def join(
        self, *, kind: Literal["person", "company"], birth_date: date | None, at: datetime
    ) -> list[NewCredit]:
        """The credits of joining, none or more. Raises Refusal invalid_birth_date, not_eligible."""
        today = local_date(at, self.market.zone)
        check_birth_date(birth_date, today=today)
        reasons = reasons_against(self._eligibility, kind=kind, birth_date=birth_date, today=today)
        if reasons:
            raise Refusal(Code.NOT_ELIGIBLE, reasons=reasons)
        offered = self.terms_at(at).rules.matching(Registration())
        return self.record(Registration(), at) if offered else []

    def record(self, activity: AnyActivity, at: datetime) -> list[NewCredit]:
        """The credits of an activity that is not an order. Raises Refusal."""
        terms = self.terms_at(at)
        unpaid = partial(self.unpaid, at=at)
        found = self.limits.record(terms, activity, at, self.market.zone, unpaid=unpaid)
        if found[0].source_key not in self.account.credits:
            key = activity.reference or found[0].source_key
            found = self.held_back(str(activity.__struct_config__.tag), key, found, at)
        earned = self.earn(found, at)
        if activity.reference is not None:
            self._terms_of.setdefault(activity.reference, terms)
        if activity.reference in self.confirmed:
            self._set_due_times(activity.reference)
        return [self._as_it_is(credit) for credit in earned]

    def held_back(
        self, name: str, activity: str, credits: Sequence[NewCredit], at: datetime
    ) -> list[NewCredit]:
        """The credits of an activity, due when the features let them be. `activity` tells it from others of
        its kind.
        """
        for feature in self._features.values():
            credits = feature.hold_back(name, activity, credits, at)
        return list(credits)

    def earn(self, credits: Iterable[NewCredit], at: datetime) -> list[NewCredit]:
        """Add the credits of one activity with what boosts them, each once; all of them in order."""
        new, known = list(credits), self.account.credits
        boosts = self.boosts(new, at)
        earned: list[NewCredit] = []
        for credit in new:
            if credit.source_key not in known:
                self.account.add(credit, boosts)
            beside = [key for key in known if key.startswith(boosted_key(credit.source_key, ""))]
            keys = [credit.source_key, *beside]
            earned += [known[key].new for key in keys]
        return earned

    def terms_at(self, at: datetime) -> EarningTerms:
        """The earning terms of an activity at `at`."""
        terms = self.terms
        for feature in self._features.values():
            terms = feature.terms(terms, at)
        return terms

    def offers(self, rule_id: str, at: datetime) -> bool:
        """Tell whether a definition is for the member at `at`, by the rule that its credits name."""
        return all(feature.offers(rule_id, at) for feature in self._features.values())

    def boosts(
        self, credits: Sequence[NewCredit], at: datetime, order: Order | None = None
    ) -> tuple[Boost, ...]:
        """The boosts of the credits of an activity at `at`."""
        features = self._features.values()
        return tuple(boost for feature in features for boost in feature.boosts(credits, at, order))

    def unpaid(self, credits: Sequence[NewCredit], at: datetime) -> frozenset[str]:
        """The rules that cannot pay their credits of an activity."""
        features = self._features.values()
        return frozenset(rule for feature in features for rule in feature.unpaid(credits, at))

    def check_budget(self, credits: Sequence[NewCredit], at: datetime) -> None:
        """Raises Refusal budget_exhausted where a campaign cannot pay one of these credits."""
        unpaid = self.unpaid(credits, at)
        for credit in credits:
            if credit.rule_id in unpaid:
                raise Refusal(Code.BUDGET_EXHAUSTED, campaign=credit.campaign)

    def buy_freeze(self, at: datetime) -> None:
        """Raises Refusal not_offered, freezes_full, insufficient_points."""
        rule, terms = self._streak_terms()
        points = price(terms)
        longer = with_one_more(self.limits.streaks.get(rule), at, self.market.zone, terms)
        check_points(self.account.balance.active, points)
        self.account.redeem(points, at)
        self.limits.streaks[rule] = longer

    def streak_view(self) -> tuple[StreakView, LostRun | None]:
        """The streak of the home screen now, and the run that was lost."""
        rule, terms = self._streak_terms()
        streak, bonus_days = self.limits.streaks.get(rule), self.terms.rules.bonus_days(rule)
        shown = view(streak, self.now, self.market.zone, terms, bonus_every_days=bonus_days)
        return shown, lost_run(streak, self.now, terms)

    def _streak_terms(self) -> tuple[str, DailyStreak]:
        """(rule, terms) of the streak of the home screen; no terms where the program has none."""
        rule = self.terms.rules.streak
        if rule is None or not isinstance(rule.limit, DailyStreak):
            return "", DailyStreak()
        return rule.id, rule.limit

    def confirm(self, reference: str, at: datetime) -> None:
        """Give the credits with that reference their due times, those that come later too."""
        self.confirmed[reference] = min(at, self.confirmed.get(reference, at))
        self._set_due_times(reference)

    def remove(self, reference: str, at: datetime) -> None:
        """Take back the credits with that reference, for good. Their slots stay taken."""
        self.limits.removed.add(reference)
        for credit in self.account.credits.values():
            if credit.new.reference == reference:
                self.account.take_back(credit, credit.new.points, at)

    def pay(self, order: Order, at: datetime) -> list[NewCredit]:
        """The credits of an order, none or more. What features pay of it earns nothing.

        Raises Refusal wrong_currency or order_conflict.
        """
        if order.currency != self.market.currency:
            raise Refusal(Code.WRONG_CURRENCY, currency=self.market.currency)
        by_features = sum(feature.order_discount(order.order_id) for feature in self._features.values())
        order = replace(order, discount=order.discount + by_features)
        facts = self.orders.get(order.order_id, OrderFacts())
        if not facts.has_payment(order, None):
            self.orders[order.order_id] = facts.add_payment(self._payment(order, at))
        self.settle_order(order.order_id, at)
        return [
            self._as_it_is(standing.credit)
            for standing in self.standings(order.order_id)
            if standing.credit.source_key in self.account.credits
        ]

    def _payment(self, order: Order, at: datetime) -> OrderPayment:
        """A first payment, with the terms and boosts that it has for ever."""
        zone = self.market.zone
        terms = self.terms_at(at)
        unpaid = self.unpaid(orders.decide_order(terms, order, at=at, zone=zone), at)
        self._terms_of[order_reference(order.order_id)] = terms = replace(terms, unpaid=unpaid)
        boosts = self.boosts(orders.decide_order(terms, order, at=at, zone=zone), at, order)
        return OrderPayment(order, at, None, terms.version, zone, boosts)

    def deliver(self, order_id: str, at: datetime) -> None:
        self.orders[order_id] = self.orders.get(order_id, OrderFacts()).deliver(at)
        self.settle_order(order_id, at)

    def cancel(self, order_id: str, at: datetime) -> None:
        self.orders[order_id] = self.orders.get(order_id, OrderFacts()).cancel(at)
        self.settle_order(order_id, at)

    def give_back(self, order_id: str, returned: Return, at: datetime) -> None:
        """Raises Refusal not_bought or too_many_returns."""
        self.orders[order_id] = self.orders.get(order_id, OrderFacts()).add_return(returned)
        self.settle_order(order_id, at)

    def settle_order(self, order_id: str, at: datetime) -> None:
        """Bring the account to what is known of the order, if anything is: spent points come back before
        earned ones are taken.
        """
        if order_id not in self.orders:
            return
        for feature in self._features.values():
            feature.order_changed(order_id, self.orders[order_id], at)
        limited = self.terms_of_order(order_id).rules.first_orders
        for standing in self.standings(order_id):
            credit = self.account.credits.get(standing.credit.source_key)
            is_limited = standing.credit.rule_id in limited
            if credit is None:
                if is_limited:
                    continue  # Paid when it is known to be one of the first, and due then.
                credit = self.account.add(standing.credit, boosts=())
            if not credit.active and not is_limited:
                credit.due_at, credit.expires_at = standing.due_at, standing.expires_at
            self.account.take_back(credit, standing.taken_back, at)

    def know_order(self, order_id: str, facts: OrderFacts, terms: EarningTerms) -> None:
        """Take an order as it is known from elsewhere, with the terms that decided it."""
        self.orders[order_id] = facts
        self._terms_of[order_reference(order_id)] = terms

    def _set_due_times(self, reference: str) -> None:
        for credit in self.account.credits.values():
            new = credit.new
            if new.reference != reference or credit.due_at is not None or new.lapses_at is None:
                continue
            times = confirmed(
                self._terms_of.get(reference, self.terms),
                new.rule_id,
                activity_at=new.activity_at,
                lapses_at=new.lapses_at,
                confirmed_at=self.confirmed[reference],
                zone=new.why.zone,
                hold=hold_of(new),
            )
            if credit.pending and times is not None:
                credit.due_at, credit.expires_at = times

    def _as_it_is(self, credit: NewCredit) -> NewCredit:
        state = self.account.credits[credit.source_key]
        return replace(credit, due_at=state.due_at, expires_at=state.expires_at)

    def terms_of_order(self, order_id: str) -> EarningTerms:
        """The terms in force when the order was paid, which decide it for ever."""
        return self._terms_of.get(order_reference(order_id), self.terms)

    def standings(self, order_id: str) -> list[orders.Standing]:
        """The credits of an order by what is known of it, with the source keys that they have now."""
        facts = self.orders[order_id]
        if facts.paid is None:
            return []
        found = orders.standing(
            self.terms_of_order(order_id),
            facts.paid.order,
            at=facts.paid.at,
            zone=facts.paid.zone,
            delivered_at=facts.delivered_at,
            returned=facts.returned(),
            boosts=facts.paid.boosts,
        )
        return [self.first_orders.numbered(item, order_id) for item in found]
