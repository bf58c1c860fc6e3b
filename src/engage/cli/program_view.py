"""Programs as tables. On a terminal they have frames and colours; elsewhere they are plain aligned text."""

from calendar import month_name
from collections.abc import Sequence
from datetime import timedelta

from rich import box
from rich.console import Console
from rich.table import Table

from engage.domain.program import (
    After,
    Award,
    Brackets,
    DailyStreak,
    Due,
    Eligibility,
    EndOfYear,
    EveryNthDay,
    Expiry,
    Fixed,
    Limit,
    Never,
    NextDay,
    On,
    Once,
    OncePer,
    OnDelivery,
    PerSpend,
    PerWindow,
    Program,
    Rolling,
    SameAs,
    TagPoints,
    Yearly,
)

# Plain text is for other programs and for files: a line stays a line.
PLAIN_WIDTH = 10_000


def show(program: Program) -> None:
    console = _console()
    console.print(f"{program.title}: {program.id} {program.version}", style="bold", markup=False)
    console.print(f"In force from {program.in_force_from}, from midnight in each country.")
    if program.source:
        console.print(f"Told to members in: {program.source}.", markup=False)
    console.print(f"Who may join: {_eligible(program.eligibility)}.")
    console.print(f"Points end {_ending(program.expiry)}.")
    console.print()
    countries = _table(console, "country", "time zone", "currency")
    for country, market in program.countries.items():
        countries.add_row(country, market.zone, market.currency)
    console.print(countries)
    console.print()
    rules = _table(console, "rule", "what it is", "earned by", "how often", "points", "active")
    rules.columns[4].justify = "right"
    for rule in program.rules:
        due, limit = _delay(rule.due), _often(rule.limit)
        rules.add_row(rule.id, rule.title, _activity(rule.on), limit, _points(rule.award), due)
    console.print(rules)
    console.print()


def show_list(programs: Sequence[tuple[str, Program]]) -> None:
    console = _console()
    table = _table(console, "preset", "title", "in force from", "countries", "rules", "examples")
    for name, program in programs:
        counts = str(len(program.rules)), str(len(program.examples))
        table.add_row(name, program.title, str(program.in_force_from), " ".join(program.countries), *counts)
    console.print(table)


def _console() -> Console:
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=PLAIN_WIDTH)


def _table(console: Console, *headers: str) -> Table:
    frame = box.ROUNDED if console.is_terminal else None
    return Table(*headers, box=frame, pad_edge=frame is not None, header_style="bold")


def _activity(on: On) -> str:
    name = on.activity.replace("_", " ")
    return name if on.kind is None else f"{name}, {on.kind}"


def _often(limit: Limit) -> str:
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


def _points(award: Award) -> str:
    match award:
        case Fixed(points=points):
            return str(points)
        case EveryNthDay(points=points, days=days):
            return f"{points} every {days} days in a row"
        case PerSpend(points=points, step_minor=step, shipping=shipping):
            return f"{points} per {step:,} minor units" + (", shipping too" if shipping else "")
        case TagPoints():
            return "as on the price tag"
        case Brackets(brackets=brackets):
            return ", ".join(f"{each.points} from {each.from_minor:,}" for each in brackets)


def _delay(due: Due) -> str:
    match due:
        case After(delay=delay):
            return f"after {_duration(delay)}" if delay else "at once"
        case OnDelivery():
            return "on delivery"
        case NextDay():
            return "on the next day"


def _duration(length: timedelta) -> str:
    """5 minutes, 24 hours, 16 days: in the largest unit that it is a whole number of, days from two on."""
    seconds = int(length.total_seconds())
    for unit, size, least in (("day", 86_400, 2), ("hour", 3_600, 1), ("minute", 60, 1)):
        if seconds % size == 0 and seconds >= size * least:
            number = seconds // size
            return f"{number} {unit}" + ("s" if number > 1 else "")
    return f"{length.total_seconds():g} seconds"


def _ending(expiry: Expiry) -> str:
    match expiry:
        case Never():
            return "never"
        case Rolling(months=months):
            return f"{months} months after they became active"
        case Yearly(month=month, day=day, at=at, months=months):
            return f"on {day} {month_name[month]} at {at:%H:%M}, when older than {months} months"
        case EndOfYear(years_later=0):
            return "with the year they became active in"
        case EndOfYear(years_later=1):
            return "with the year after they became active"
        case EndOfYear(years_later=years):
            return f"with the {years}th year after they became active"


def _eligible(eligibility: Eligibility) -> str:
    kinds = {"person": "people", "company": "companies"}
    who = " and ".join(kinds[kind] for kind in dict.fromkeys(eligibility.kinds))
    age = f" of {eligibility.min_age} and over" if eligibility.min_age else ""
    once = ", one account a person" if eligibility.one_account_a_person else ""
    return f"{who}{age}{once}"
