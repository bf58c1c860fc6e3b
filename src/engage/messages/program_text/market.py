"""The start, countries, time zones and currencies of a program."""

from engage.domain.program.program import Program
from engage.messages.program_text.description import Description, SectionTable
from engage.messages.program_text.wording import Wording


def describe(program: Program, words: Wording) -> Description:
    sentences = [words.text("market.since", date=program.in_force_from)]
    if program.source:
        sentences.append(words.text("market.source", source=program.source))
    rows = [(country, market.zone, market.currency) for country, market in program.countries.items()]
    return Description(sentences, SectionTable(words.headers("country", "time_zone", "currency"), rows))
