"""The approval of a program's campaigns."""

from engage.cli.program_text.description import Description
from engage.domain.program.program import Program


def describe(program: Program) -> Description:
    if program.four_eyes:
        return Description(["Campaigns are approved by somebody who did not write them."])
    return Description(["Whoever writes a campaign may approve it."])
