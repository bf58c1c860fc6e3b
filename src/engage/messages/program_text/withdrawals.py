"""Taking points out as money."""

from engage.domain.program.program import Program
from engage.domain.withdrawals.definition import WithdrawalTerms
from engage.messages.program_text.description import Description
from engage.messages.program_text.wording import Wording


def describe(program: Program, words: Wording) -> Description:
    return Description([] if program.withdrawal is None else [_withdrawal(program.withdrawal, words)])


def _withdrawal(terms: WithdrawalTerms, words: Wording) -> str:
    methods = words.one_of([words.text(f"method.{method}") for method in terms.methods])
    parts = [words.text("withdrawal.methods", methods=methods, points=words.points(terms.min_points))]
    limits = []
    if terms.max_points_a_day is not None:
        limits.append(words.points(terms.max_points_a_day))
    if terms.max_count_a_day is not None:
        limits.append(words.text("withdrawal.times", counted="n", n=terms.max_count_a_day))
    if limits:
        parts.append(words.text("withdrawal.a_day", limits=", ".join(limits)))
    if terms.number_cooldown:
        parts.append(words.text("withdrawal.cooldown", length=words.duration(terms.number_cooldown)))
    if not terms.open and terms.opens_at is None:
        parts.append(words.text("withdrawal.shut"))
    elif not terms.open and terms.opens_at is not None:
        parts.append(words.text("withdrawal.opens", date=words.local(terms.opens_at)))
    return "; ".join(parts) + "."
