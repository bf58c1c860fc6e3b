"""The start, countries, time zones and currencies of a program."""

from engage.cli.program_text.description import Description, SectionTable
from engage.domain.program.program import Program


def describe(program: Program) -> Description:
    sentences = [f"In force from {program.in_force_from}, from midnight in each country."]
    if program.source:
        sentences.append(f"Published to members in: {program.source}.")
    rows = [(country, market.zone, market.currency) for country, market in program.countries.items()]
    return Description(sentences, SectionTable(("country", "time zone", "currency"), rows))
