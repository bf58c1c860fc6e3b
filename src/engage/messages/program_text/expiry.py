"""The expiry of points."""

from datetime import date

from babel.dates import format_skeleton

from engage.domain.accounts.expiry import EndOfYear, Expiry, Never, Rolling, Yearly
from engage.domain.program.program import Program
from engage.messages.catalogue import locale_of
from engage.messages.program_text.description import Description
from engage.messages.program_text.wording import Wording


def describe(program: Program, words: Wording) -> Description:
    sentences = [_expiry(program.expiry, words)]
    if not isinstance(program.expiry, Never):
        sentences.append(words.text("expiry.grace", length=words.duration(program.grace)))
    return Description(sentences)


def _expiry(expiry: Expiry, words: Wording) -> str:
    match expiry:
        case Never():
            return words.text("expiry.never")
        case Rolling(months=months):
            return words.text("expiry.rolling", counted="n", n=months)
        case Yearly(month=month, day=day, at=at, months=months):
            # Any leap year has all days.
            shown = format_skeleton("MMMMd", date(2000, month, day), locale=locale_of(words.language))
            return words.text("expiry.yearly", counted="n", n=months, day=shown, time=f"{at:%H:%M}")
        case EndOfYear(years_later=0 | 1 as years):
            return words.text("expiry.next_year") if years else words.text("expiry.this_year")
        case EndOfYear(years_later=years):
            return words.text("expiry.later_year", counted="n", n=years)
