"""Programs as tables. On a terminal they have frames and colours; elsewhere they are plain aligned text."""

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from engage.cli import program_words as words
from engage.domain.accounts.expiry import Never
from engage.domain.program.program import Program

# Plain text is for other programs and for files: a line stays a line.
PLAIN_WIDTH = 10_000


def show(program: Program) -> None:
    console = _console()
    console.print(f"{program.title}: {program.id} {program.version}", style="bold", markup=False)
    for sentence in _sentences(program):
        console.print(sentence, markup=False)
    console.print()
    countries = _table(console, "country", "time zone", "currency")
    for country, market in program.countries.items():
        countries.add_row(country, market.zone, market.currency)
    console.print(countries)
    console.print()
    console.print(_rules(console, program))
    console.print()
    if program.rewards:
        console.print(_rewards(console, program))
        console.print()


def _sentences(program: Program) -> Iterator[str]:
    yield f"In force from {program.in_force_from}, from midnight in each country."
    if program.source:
        yield f"Told to members in: {program.source}."
    yield f"Who may join: {words.eligible(program.eligibility)}."
    if program.cards.phone_is_card:
        yield "A member's phone number is their card number."
    if program.promise is not None:
        yield f"Members were promised their points within {words.duration(program.promise)}."
    yield words.ending(program.expiry)
    if not isinstance(program.expiry, Never):
        yield f"What comes back after its end is good for {words.duration(program.grace)} more."
    yield from words.spending(program)


def _rules(console: Console, program: Program) -> Table:
    rules = _table(console, "rule", "what it is", "earned by", "how often", "points", "active")
    rules.columns[4].justify = "right"
    for rule in program.rules:
        due, limit = words.delay(rule.due), words.often(rule.limit)
        points = words.points(rule.award, program)
        rules.add_row(rule.id, rule.title, words.activity(rule), limit, points, due)
    return rules


def _rewards(console: Console, program: Program) -> Table:
    rewards = _table(console, "reward", "what it is", "points", "gives", "good for", "how many")
    rewards.columns[2].justify = "right"
    for reward in program.rewards:
        valid = "ever" if reward.valid_for is None else words.duration(reward.valid_for)
        gives, bounds = words.gives(reward, program), words.bounds(reward)
        rewards.add_row(reward.id, reward.title, f"{reward.points:,}", gives, valid, bounds)
    return rewards


def show_list(programs: Sequence[tuple[str, Program]]) -> None:
    console = _console()
    headers = "preset", "title", "in force from", "countries", "rules", "rewards", "examples"
    table = _table(console, *headers)
    for name, program in programs:
        counts = [str(len(part)) for part in (program.rules, program.rewards, program.examples)]
        table.add_row(name, program.title, str(program.in_force_from), " ".join(program.countries), *counts)
    console.print(table)


def _console() -> Console:
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=PLAIN_WIDTH)


def _table(console: Console, *headers: str) -> Table:
    frame = box.ROUNDED if console.is_terminal else None
    return Table(*headers, box=frame, pad_edge=frame is not None, header_style="bold")
