"""Earning: the table of rules, and the promised waiting time."""

from engage.domain.earning.awards import Award, Brackets, EveryNthDay, Fixed, PerSpend, TagPoints
from engage.domain.earning.definition import Rule
from engage.domain.earning.due import After, Due, NextDay, OnConfirmation, OnDelivery
from engage.domain.earning.limits import DailyStreak, FirstOrders, Limit, Once, OncePer, PerWindow, SameAs
from engage.domain.program.program import Program
from engage.domain.program_text.description import Description, SectionTable
from engage.domain.program_text.wording import duration, money, order_scope

HEADERS = ("rule", "title", "earned by", "how often", "points", "active")


def describe(program: Program) -> Description:
    sentences = []
    if program.promise is not None:
        sentences.append(f"Members were promised their points within {duration(program.promise)}.")
    rows = [
        (
            rule.id,
            rule.title,
            _activity(rule),
            ", ".join(_limit(limit) for limit in (rule.limit, *rule.also)),
            _award(rule.award, program),
            _due(rule.due),
        )
        for rule in program.rules
    ]
    return Description(sentences, SectionTable(HEADERS, rows, HEADERS.index("points")))


def _activity(rule: Rule) -> str:
    name = rule.on.activity.replace("_", " ")
    qualifier = rule.on.qualifier
    return "; ".join([name if qualifier is None else f"{name}, {qualifier}", *order_scope(rule.orders)])


def _limit(limit: Limit) -> str:
    match limit:
        case Once():
            return "once"
        case OncePer(field=field):
            return f"once per {field.removesuffix('_id')}"
        case PerWindow(count=count, window=window):
            return f"{count} a {window}"
        case DailyStreak() as streak:
            return _streak(streak)
        case FirstOrders(count=count, since=since):
            return f"the first {count} delivered orders" + (f" since {since}" if since else "")
        case SameAs(rule=rule):
            return f"together with {rule}"


def _streak(streak: DailyStreak) -> str:
    words = ["once a day, days in a row count"]
    if streak.grace_until is not None:
        words.append(f"yesterday is open until {streak.grace_until}")
    if (freezes := streak.freezes) is not None:
        ways = [f"{freezes.start} at the start"] if freezes.start else []
        if freezes.earn_every_days is not None:
            ways.append(f"one every {freezes.earn_every_days} days in a row")
        if freezes.price_points is not None:
            ways.append(f"one for {freezes.price_points} points")
        words.append(f"up to {freezes.max} freezes cover missed days ({', '.join(ways)})")
    return "; ".join(words)


def _award(award: Award, program: Program) -> str:
    match award:
        case Fixed(points=points):
            return str(points)
        case EveryNthDay(points=points, days=days):
            return f"{points} every {days} days in a row"
        case PerSpend(points=points, step_minor=step, shipping=shipping):
            return f"{points} per {money(step, program)}" + (", shipping too" if shipping else "")
        case TagPoints():
            return "as on the price tag"
        case Brackets(brackets=brackets, shipping=shipping):
            words = ", ".join(
                f"{bracket.points:,} from {money(bracket.from_minor, program)}" for bracket in brackets
            )
            return words + (", shipping too" if shipping else "")


def _due(due: Due) -> str:
    match due:
        case After(delay=length):
            return f"after {duration(length)}" if length else "at once"
        case OnDelivery():
            return "on delivery"
        case OnConfirmation(within=within, delay=length):
            words = f"when the shop confirms it within {duration(within)}"
            return f"{duration(length)} after that, {words}" if length else words
        case NextDay():
            return "on the next day"
