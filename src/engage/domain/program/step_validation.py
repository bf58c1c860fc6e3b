"""Validation of steps before they are played: of what is done, and when."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from msgspec import Struct
from msgspec.structs import asdict

from engage.domain.activity import Activity, Order
from engage.domain.calendar import happens, start_of_day
from engage.domain.document.errors import Problem, duplicate_names, join, one_of, shown
from engage.domain.feature.action import Action
from engage.domain.feature.section import Context
from engage.domain.program import versions
from engage.domain.program.example import TimedStep
from engage.domain.program.program import Program
from engage.domain.protection.definition import APP_ACTIVITIES
from engage.domain.refusals import Code

EARLIEST_YEAR, LATEST_YEAR = 2000, 2100


def action_problems(
    step: TimedStep, path: str, context: Context, *, refused: Code | None = None
) -> Iterator[Problem]:
    """The problems of what is done, and of where it comes from. `refused` is the refusal that is expected of
    it.
    """
    if isinstance(step.do, Action):
        yield from step.do.problems(f"{path}.do", context, refused=refused)
    elif isinstance(step.do, Order):
        yield from duplicate_names([line.line_id for line in step.do.lines], f"{path}.do.lines", "line_id")
    if step.origin is not None:
        yield from step.origin.problems(f"{path}.origin")
        if "held" not in results_of(step.do):
            tag = step.do.__struct_config__.tag
            yield Problem(f"{path}.origin", f"none: {tag} does not come from the app", "one")


def results_of(do: Activity | Action) -> frozenset[str]:
    """The fields of a step that can expect something of what is done."""
    if isinstance(do, Action):
        return do.results
    return frozenset({"earns", "held"} if do.__struct_config__.tag in APP_ACTIVITIES else {"earns"})


def time_problems(program: Program, country: str, steps: Sequence[TimedStep], path: str) -> Iterator[Problem]:
    """Times that do not exist, or else steps out of order. `path` is that of the list of steps."""
    zone = program.countries[country].zone
    wrong = [problem for field, at in _datetimes(steps, path) for problem in _moment(at, zone, field)]
    yield from wrong
    if wrong:
        return
    previous = start_of_day(program.in_force_from, zone)
    since = f"a time from {program.in_force_from} on, when the version comes into force"
    for n, step in enumerate(steps):
        instants = step.instants(zone)
        if instants[0] < previous:
            yield Problem(f"{path}[{n}].at", since, step.at.isoformat())
        previous = max(previous, instants[-1])
        since = f"a time not before that of the previous step ({previous:%Y-%m-%dT%H:%M:%SZ})"


def starting_version(
    programs: Sequence[Program], country: str, steps: Sequence[TimedStep], path: str
) -> Program | Problem:
    """The program version in force at the first step. `path` is that of the table with `country` and
    `steps`.
    """
    zones = {known: market.zone for program in programs for known, market in program.countries.items()}
    if country not in zones:
        return Problem(join(path, "country"), one_of(zones), shown(country))
    first = join(path, "steps") + "[0].at"
    for problem in _moment(steps[0].at, zones[country], first):
        return problem
    found = version_of(programs, country, steps)
    if found is None:
        expected = f"a time at which the program is in force in {country}"
        return Problem(first, expected, steps[0].at.isoformat())
    return found


def version_of(programs: Sequence[Program], country: str, steps: Sequence[TimedStep]) -> Program | None:
    """The program version in force at the first step; None before there is one."""
    markets = [program.countries.get(country) for program in programs]
    zone = next((market.zone for market in reversed(markets) if market is not None), None)
    return None if zone is None else versions.in_force(programs, steps[0].instants(zone)[0], country)


def version_problems(
    program: Program, programs: Sequence[Program], country: str, steps: Sequence[TimedStep], path: str
) -> Iterator[Problem]:
    """The first step at which a later version of the program is in force."""
    zone = program.countries[country].zone
    for n, step in enumerate(steps):
        at = step.instants(zone)[-1]
        later = versions.in_force(programs, at, country)
        if later is not None and later is not program:
            begin = start_of_day(later.in_force_from, zone)
            expected = f"a time before version {later.version} of the program ({begin:%Y-%m-%dT%H:%M:%SZ})"
            yield Problem(f"{path}[{n}].at", expected, f"{at:%Y-%m-%dT%H:%M:%SZ}")
            return


def _datetimes(value: object, path: str) -> Iterator[tuple[str, datetime]]:
    """(path, time) of every date and time inside a value of a document."""
    match value:
        case datetime():
            yield path, value
        case list():
            for n, item in enumerate(value):
                yield from _datetimes(item, f"{path}[{n}]")
        case Struct():
            for name, item in asdict(value).items():
                yield from _datetimes(item, join(path, name))


def _moment(at: datetime, zone: str, path: str) -> Iterator[Problem]:
    if not EARLIEST_YEAR <= at.year <= LATEST_YEAR:
        yield Problem(path, f"a year from {EARLIEST_YEAR} to {LATEST_YEAR}", at.isoformat())
    elif at.tzinfo is None and not happens(at, zone):
        yield Problem(path, f"a local time of {zone}", f"{at.isoformat()}, which its clocks skip")
