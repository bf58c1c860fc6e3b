"""The approval of a program's campaigns."""

from engage.domain.program.program import Program
from engage.domain.program_text.description import Description


def describe(program: Program) -> Description:
    if program.four_eyes:
        return Description(["Campaigns are approved by somebody who did not write them."])
    return Description(["Whoever writes a campaign may approve it."])
