"""Earning: the table of rules, and the promised waiting time."""

from engage.domain.earning.awards import Award, Brackets, EveryNthDay, Fixed, PerSpend, TagPoints
from engage.domain.earning.definition import Rule
from engage.domain.earning.due import After, Due, NextDay, OnConfirmation, OnDelivery
from engage.domain.earning.limits import DailyStreak, FirstOrders, Limit, Once, OncePer, PerWindow, SameAs
from engage.domain.program.program import Program
from engage.messages.program_text.description import Description, SectionTable
from engage.messages.program_text.wording import Wording


def describe(program: Program, words: Wording) -> Description:
    sentences = []
    if program.promise is not None:
        sentences.append(words.text("earning.promise", length=words.duration(program.promise)))
    headers = words.headers("rule", "title", "earned_by", "how_often", "points", "active")
    rows = [_row(rule, words) for rule in program.rules]
    return Description(sentences, SectionTable(headers, rows, 4))


def _row(rule: Rule, words: Wording) -> tuple[str, ...]:
    return (
        rule.id,
        rule.title,
        _activity(rule, words),
        ", ".join(_limit(limit, words) for limit in (rule.limit, *rule.also)),
        _award(rule.award, words),
        _due(rule.due, words),
    )


def _activity(rule: Rule, words: Wording) -> str:
    parts = [words.text(f"activity.{rule.on.activity}")]
    if rule.on.kind is not None:
        parts.append(words.text(f"kind.{rule.on.kind}"))
    if rule.on.page is not None:
        parts.append(rule.on.page)
    return "; ".join([", ".join(parts), *words.order_scope(rule.orders)])


def _limit(limit: Limit, words: Wording) -> str:
    match limit:
        case Once():
            return words.text("limit.once")
        case OncePer(field=field):
            return words.text(f"limit.once_per.{field}")
        case PerWindow(count=count, window=window):
            return words.per(count, window)
        case DailyStreak() as streak:
            return _streak(streak, words)
        case FirstOrders(count=count, since=since) if since:
            return words.text("limit.first_orders.since", counted="n", n=count, date=since)
        case FirstOrders(count=count):
            return words.text("limit.first_orders", counted="n", n=count)
        case SameAs(rule=rule):
            return words.text("limit.same_as", rule=rule)


def _streak(streak: DailyStreak, words: Wording) -> str:
    parts = [words.text("limit.streak")]
    if streak.grace_until is not None:
        parts.append(words.text("limit.grace", time=str(streak.grace_until)))
    if (freezes := streak.freezes) is not None:
        ways = [words.text("limit.freezes.start", n=freezes.start)] if freezes.start else []
        if freezes.earn_every_days is not None:
            ways.append(words.text("limit.freezes.earned", counted="n", n=freezes.earn_every_days))
        if freezes.price_points is not None:
            ways.append(words.text("limit.freezes.price", points=words.points(freezes.price_points)))
        parts.append(words.text("limit.freezes", counted="n", n=freezes.max, ways=", ".join(ways)))
    return "; ".join(parts)


def _award(award: Award, words: Wording) -> str:
    match award:
        case Fixed(points=points):
            return words.number(points)
        case EveryNthDay(points=points, days=days):
            return words.text("award.every_nth_day", points=points, days=days)
        case PerSpend(points=points, step_minor=step, shipping=shipping):
            shown = words.text("award.per_spend", points=points, money=words.money(step))
            return _with_shipping(shown, words) if shipping else shown
        case TagPoints():
            return words.text("award.tag_points")
        case Brackets(brackets=brackets, shipping=shipping):
            shown = ", ".join(
                words.text("award.bracket", points=each.points, money=words.money(each.from_minor))
                for each in brackets
            )
            return _with_shipping(shown, words) if shipping else shown


def _with_shipping(award: str, words: Wording) -> str:
    return words.text("award.shipping", award=award)


def _due(due: Due, words: Wording) -> str:
    match due:
        case After(delay=length) if not length:
            return words.text("due.at_once")
        case After(delay=length):
            return words.text("due.after", length=words.duration(length))
        case OnDelivery():
            return words.text("due.on_delivery")
        case OnConfirmation(within=within, delay=length):
            shown = words.duration(within)
            if not length:
                return words.text("due.on_confirmation", within=shown)
            return words.text("due.on_confirmation.later", within=shown, length=words.duration(length))
        case NextDay():
            return words.text("due.next_day")
