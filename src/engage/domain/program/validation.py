"""What makes a program wrong as a whole, though each of its fields has the right shape.

A rule that can never pay, two that the gate could not tell apart, an example that could not happen: all of
these are found here, before a version is published, so that no decision has to think of them.
"""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import get_args

import msgspec

from engage.domain.accounts.expiry import Yearly
from engage.domain.activity import AnyActivity
from engage.domain.document import iso_codes
from engage.domain.document.durations import duration_problems, iso_duration
from engage.domain.document.errors import Problem, join, nearest, shown
from engage.domain.document.worth import worth_problems
from engage.domain.earning.rules import (
    After,
    Brackets,
    DailyStreak,
    EveryNthDay,
    On,
    Once,
    OncePer,
    PerSpend,
    Rule,
    SameAs,
)
from engage.domain.earning.slots import short_code
from engage.domain.program import sections
from engage.domain.program.example_validation import example_problems
from engage.domain.program.order_validation import order_problems, pays_by_itself
from engage.domain.program.program import Program

# Days since 1970 have to fit the gate's sixteen bits.
EARLIEST = date(2000, 1, 1)
LATEST = date(2099, 12, 31)

# Source keys that begin so are the ledger's own: what no rule gave, and what was taken back before it came.
RESERVED_RULE_IDS = frozenset({"removed", "order", "adjustment", "transfer", "opening", "opening_balance"})

A_COMMON_YEAR = 2001

NOTHING, MINUTE = timedelta(), timedelta(minutes=1)
LONGEST_WAIT = timedelta(days=366)  # For points, for a reversal, for a promise.

_FIELDS = {
    str(activity.__struct_config__.tag): activity.__struct_fields__ for activity in get_args(AnyActivity)
}


def problems(program: Program) -> list[Problem]:
    context = sections.context_of(program)
    return [
        *_frame(program),
        *_countries(program),
        *_rule_ids(program),
        *(problem for n, rule in enumerate(program.rules) for problem in _rule(program, rule, f"rules[{n}]")),
        *_rules_together(program),
        *_waits(program),
        *_minor_units(program),
        *worth_problems(program.worth),
        *sections.problems(program, context),
        *(example_problems(program, context) if _in_range(program.in_force_from) else ()),
    ]


def _in_range(day: date) -> bool:
    return EARLIEST <= day <= LATEST


def _frame(program: Program) -> Iterator[Problem]:
    if not _in_range(program.in_force_from):
        yield Problem("in_force_from", f"a date from {EARLIEST} to {LATEST}", shown(program.in_force_from))
    if not program.eligibility.kinds:
        yield Problem("eligibility.kinds", "person or company, or both", "an empty list: nobody may join")
    if isinstance(program.expiry, Yearly) and not _comes_each_year(program.expiry):
        expected = f"a day that month {program.expiry.month} has every year"
        yield Problem("expiry.day", expected, str(program.expiry.day))


def _waits(program: Program) -> Iterator[Problem]:
    """A rule alone can break the promise. The time that a delivery takes is unknown."""
    yield from duration_problems("grace", program.grace, MINUTE, LONGEST_WAIT)
    yield from duration_problems("promise", program.promise, MINUTE, LONGEST_WAIT)
    for n, rule in enumerate(program.rules):
        if program.promise is not None and isinstance(rule.due, After) and rule.due.delay > program.promise:
            expected = f"at most the promised {iso_duration(program.promise)}"
            yield Problem(f"rules[{n}].due.delay", expected, shown(iso_duration(rule.due.delay)))


def _minor_units(program: Program) -> Iterator[Problem]:
    """One number cannot be an amount both of a currency with cents and of one without."""
    by_rules = any(isinstance(rule.award, PerSpend | Brackets) for rule in program.rules)
    if not by_rules and not sections.have_amounts(program) and program.worth is None:
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


def _comes_each_year(expiry: Yearly) -> bool:
    first = date(A_COMMON_YEAR, expiry.month, 1)
    return (first + timedelta(days=expiry.day - 1)).month == expiry.month


def _countries(program: Program) -> Iterator[Problem]:
    for country, market in program.countries.items():
        path = join("countries", country)
        if country not in iso_codes.countries():
            hint = " (did you mean GB?)" if country == "UK" else ""
            yield Problem(path, "a country of ISO 3166-1", shown(country) + hint)
        if market.zone not in iso_codes.zones():
            found = shown(market.zone) + nearest(market.zone, iso_codes.zones())
            yield Problem(join(path, "zone"), "an IANA time zone, such as Europe/Madrid", found)
        if market.currency not in iso_codes.currencies():
            found = shown(market.currency)
            yield Problem(join(path, "currency"), "a currency of ISO 4217, such as EUR", found)
    zones = {market.zone: join(join("countries", c), "zone") for c, market in program.countries.items()}
    yield from same_codes(zones, "a zone")


def same_codes(paths: dict[str, str], what: str) -> Iterator[Problem]:
    """The names among the keys of `paths` that the gate could not tell from one before them."""
    by_code: dict[int, str] = {}
    for name, path in paths.items():
        first = by_code.setdefault(short_code(name), name)
        if first != name:
            found = f'{shown(name)}, which has the same as "{first}"'
            yield Problem(path, f"{what} with a short code of its own", found)


def _rule_ids(program: Program) -> Iterator[Problem]:
    paths: dict[str, str] = {}
    for n, rule in enumerate(program.rules):
        path = f"rules[{n}].id"
        if rule.id in paths:
            yield Problem(path, "an id of its own", f"{shown(rule.id)}, which {paths[rule.id]} has")
        if rule.id in RESERVED_RULE_IDS:
            yield Problem(path, "another id", f"{shown(rule.id)}, which the ledger uses itself")
        paths.setdefault(rule.id, path)
    yield from same_codes(paths, "an id")


def _rule(program: Program, rule: Rule, path: str) -> Iterator[Problem]:
    fields = _FIELDS[rule.on.activity]
    if rule.on.kind is not None and "kind" not in fields:
        yield Problem(f"{path}.on.kind", f"no kind: a {rule.on.activity} has none", shown(rule.on.kind))
    if isinstance(rule.due, After):
        yield from duration_problems(f"{path}.due.delay", rule.due.delay, NOTHING, LONGEST_WAIT)
    yield from order_problems(rule, path)
    match rule.limit:
        case OncePer(field=name) if name not in fields:
            yield Problem(f"{path}.limit.field", f"a field of {rule.on.activity}", shown(name))
        case SameAs() if rule.on.activity != "order":
            yield from _same_as(program, rule, path)
    if rule.on.activity == "registration" and not isinstance(rule.limit, Once | SameAs):
        found = f"{_kind(rule.limit)}: a member registers once"
        yield Problem(f"{path}.limit.type", "once or same_as", found)
    if isinstance(rule.award, EveryNthDay) and rule.on.activity != "order":
        yield from _every_nth_day(program, rule, f"{path}.award.type")


def _every_nth_day(program: Program, rule: Rule, path: str) -> Iterator[Problem]:
    source = _source(program, rule)
    if isinstance(rule.limit, DailyStreak):
        # The database knows a streak by the credits of its days.
        expected = "fixed: each day pays; a bonus is a rule of its own, same_as this one"
        yield Problem(path, expected, '"every_nth_day"')
    elif source is not None and not isinstance(source.limit, DailyStreak | SameAs):
        expected = "fixed, or a limit that is same_as a daily_streak rule"
        yield Problem(path, expected, '"every_nth_day" with no streak behind it')


def _same_as(program: Program, rule: Rule, path: str) -> Iterator[Problem]:
    assert isinstance(rule.limit, SameAs)
    field, named = f"{path}.limit.rule", rule.limit.rule
    known = [other.id for other in program.rules if other.id != rule.id]
    if named not in known:
        yield Problem(field, "the id of another rule", shown(named) + nearest(named, known))
        return
    source = program.earning.rules.by_id[named]
    if isinstance(source.limit, SameAs):
        found = f'{shown(named)}, which is itself same_as "{source.limit.rule}"'
        yield Problem(field, "a rule with a limit of its own", found)
    if not _covers(source.on, rule.on):
        found = f"{shown(named)}, which is about {_about(source.on)}"
        yield Problem(field, f"a rule about {_about(rule.on)}", found)


def _rules_together(program: Program) -> Iterator[Problem]:
    for n, rule in enumerate(program.rules):
        for earlier in program.rules[:n]:
            if isinstance(rule.limit, DailyStreak) and isinstance(earlier.limit, DailyStreak):
                if _covers(rule.on, earlier.on) or _covers(earlier.on, rule.on):
                    found = f'a second one besides "{earlier.id}"'
                    yield Problem(f"rules[{n}].limit.type", "one daily_streak for an activity", found)
            elif (rule.on, rule.limit) == (earlier.on, earlier.limit) and not _differ(rule, earlier):
                found = f'those of "{earlier.id}": make it one rule, or this one same_as that'
                yield Problem(f"rules[{n}]", "an activity or a limit of its own", found)


def _differ(rule: Rule, earlier: Rule) -> bool:
    """Whether two rules of one activity and limit are two all the same."""
    if rule.on.activity == "order":
        return pays_by_itself(rule, earlier)
    return isinstance(rule.limit, SameAs) and rule.award != earlier.award


def _source(program: Program, rule: Rule) -> Rule | None:
    """The rule whose slot this one pays for: itself, or the one that it is same_as, if there is one."""
    named = rule.limit.rule if isinstance(rule.limit, SameAs) else rule.id
    return next((other for other in program.rules if other.id == named), None)


def _covers(wide: On, narrow: On) -> bool:
    """Whether every activity that `narrow` is about, `wide` is about too."""
    return wide.activity == narrow.activity and wide.kind in (None, narrow.kind)


def _about(on: On) -> str:
    return on.activity if on.kind is None else f"{on.activity} of kind {on.kind}"


def _kind(limit: msgspec.Struct) -> str:
    return str(limit.__struct_config__.tag)
