"""The expiry of points."""

from calendar import month_name

from engage.domain.accounts.expiry import EndOfYear, Expiry, Never, Rolling, Yearly
from engage.domain.program.program import Program
from engage.domain.program_text.description import Description
from engage.domain.program_text.wording import duration


def describe(program: Program) -> Description:
    sentences = [_expiry(program.expiry)]
    if not isinstance(program.expiry, Never):
        sentences.append(f"Points that return after their end are valid for {duration(program.grace)} more.")
    return Description(sentences)


def _expiry(expiry: Expiry) -> str:
    match expiry:
        case Never():
            return "Points never end."
        case Rolling(months=months):
            return f"Points end {months} months after they became active."
        case Yearly(month=month, day=day, at=at, months=months):
            return f"Points end on {day} {month_name[month]} at {at:%H:%M}, when older than {months} months."
        case EndOfYear(years_later=0):
            return "Points end with the year they became active in."
        case EndOfYear(years_later=1):
            return "Points end with the year after the one they became active in."
        case EndOfYear(years_later=years):
            return f"Points end with the year that comes {years} years after they became active."
