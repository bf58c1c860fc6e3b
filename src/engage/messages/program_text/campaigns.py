"""The approval of a program's campaigns."""

from engage.domain.program.program import Program
from engage.messages.program_text.description import Description
from engage.messages.program_text.wording import Wording


def describe(program: Program, words: Wording) -> Description:
    return Description([words.text(f"campaigns.{'four_eyes' if program.four_eyes else 'author'}")])
