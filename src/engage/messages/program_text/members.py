"""Eligibility of members, and their cards."""

from engage.domain.program.program import Program
from engage.messages.program_text.description import Description
from engage.messages.program_text.wording import Wording


def describe(program: Program, words: Wording) -> Description:
    terms = program.eligibility
    kinds = set(terms.kinds)
    sentences = [words.text(f"members.{'both' if len(kinds) > 1 else next(iter(kinds))}")]
    if terms.min_age:
        sentences.append(words.text("members.age", age=terms.min_age))
    if terms.one_account_a_person:
        sentences.append(words.text("members.one_account"))
    if program.cards.phone_is_card:
        sentences.append(words.text("members.phone_is_card"))
    return Description(sentences)
