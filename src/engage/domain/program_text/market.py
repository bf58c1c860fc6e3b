"""The start, countries, time zones and currencies of a program."""

from engage.domain.program.program import Program
from engage.domain.program_text.description import Description, SectionTable


def describe(program: Program) -> Description:
    sentences = [f"In force from {program.in_force_from}, from midnight in each country."]
    if program.source:
        sentences.append(f"Published to members in: {program.source}.")
    rows = [(country, market.zone, market.currency) for country, market in program.countries.items()]
    return Description(sentences, SectionTable(("country", "time zone", "currency"), rows))
