"""Validation of a program as a whole, after the types of its fields.

It finds a rule that can never pay, two ids that the gate cannot distinguish, an example that cannot happen:
before a version is published, so that decisions need not consider them.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta

from engage.domain.document import iso_codes
from engage.domain.document.durations import duration_problems, iso_duration
from engage.domain.document.errors import Problem, join, nearest, shown
from engage.domain.document.worth import worth_problems
from engage.domain.earning.definition import Rule
from engage.domain.earning.validation import short_code_problems
from engage.domain.market import Market
from engage.domain.program import sections
from engage.domain.program.example_validation import example_problems
from engage.domain.program.program import Program

# The gate has sixteen bits for days since 1970.
EARLIEST = date(2000, 1, 1)
LATEST = date(2099, 12, 31)

MINUTE = timedelta(minutes=1)
LONGEST_WAIT = timedelta(days=366)  # For grace and promise.


def problems(program: Program) -> list[Problem]:
    context = sections.context_of(program)
    return [
        *_frame(program),
        *_countries(program),
        *_waits(program),
        *(minor_unit_problems(program.countries) if _has_amounts(program) else ()),
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
        yield Problem("eligibility.kinds", "person or company, or both", "an empty list: nobody could join")
    yield from program.expiry.problems("expiry")


def _waits(program: Program) -> Iterator[Problem]:
    """Grace and promise in their bounds, and no rule slower than the promise. Delivery times are unknown."""
    yield from duration_problems("grace", program.grace, MINUTE, LONGEST_WAIT)
    yield from duration_problems("promise", program.promise, MINUTE, LONGEST_WAIT)
    yield from promise_problems(program.rules, program.promise)


def promise_problems(rules: Sequence[Rule], promise: timedelta | None) -> Iterator[Problem]:
    """Rules that are slower than what members were promised."""
    for n, rule in enumerate(rules):
        wait = rule.due.longest()
        if promise is not None and wait is not None and wait > promise:
            expected = f"at most the promised {iso_duration(promise)}"
            yield Problem(f"rules[{n}].due.delay", expected, shown(iso_duration(wait)))


def _has_amounts(program: Program) -> bool:
    return sections.have_amounts(program) or program.worth is not None


def minor_unit_problems(countries: Mapping[str, Market]) -> Iterator[Problem]:
    """One number cannot be an amount both of a currency with cents and of one without."""
    first: tuple[str, int] | None = None
    for country, market in countries.items():
        if market.currency not in iso_codes.currencies():
            continue
        decimals = iso_codes.decimals(market.currency)
        first = first or (market.currency, decimals)
        if decimals != first[1]:
            expected = f"a currency with {first[1]} decimals, like {first[0]}: amounts are in minor units"
            yield Problem(f"countries.{country}.currency", expected, f"{market.currency} with {decimals}")


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
    yield from short_code_problems(zones, "a zone")
