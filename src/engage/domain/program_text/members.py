"""Eligibility of members, and their cards."""

from engage.domain.members.definition import Eligibility
from engage.domain.program.program import Program
from engage.domain.program_text.description import Description

KINDS = {"person": "people", "company": "companies"}


def describe(program: Program) -> Description:
    sentences = [f"Who may join: {_eligible(program.eligibility)}."]
    if program.cards.phone_is_card:
        sentences.append("A member's phone number is their card number.")
    return Description(sentences)


def _eligible(eligibility: Eligibility) -> str:
    kinds = " and ".join(KINDS[kind] for kind in dict.fromkeys(eligibility.kinds))
    age = f" of {eligibility.min_age} and over" if eligibility.min_age else ""
    once = ", one account a person" if eligibility.one_account_a_person else ""
    return f"{kinds}{age}{once}"
