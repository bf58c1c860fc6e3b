"""Taking points out as money."""

from engage.domain.program.program import Program
from engage.domain.program_text.description import Description
from engage.domain.program_text.wording import duration, one_of
from engage.domain.withdrawals.definition import WithdrawalTerms


def describe(program: Program) -> Description:
    return Description([] if program.withdrawal is None else [_withdrawal(program.withdrawal)])


def _withdrawal(terms: WithdrawalTerms) -> str:
    words = [f"Points can be taken out as {one_of(terms.methods)}, from {terms.min_points:,} on"]
    limits = []
    if terms.max_points_a_day is not None:
        limits.append(f"{terms.max_points_a_day:,} points")
    if terms.max_count_a_day is not None:
        limits.append(f"{terms.max_count_a_day} times")
    if limits:
        words.append(f"at most {' and '.join(limits)} a day")
    if terms.number_cooldown:
        words.append(f"{duration(terms.number_cooldown)} after a phone number is named first")
    if not terms.open:
        since = "" if terms.opens_at is None else f" before {terms.opens_at:%Y-%m-%d %H:%M %Z}"
        words.append(f"not open yet{since}")
    return "; ".join(words) + "."
