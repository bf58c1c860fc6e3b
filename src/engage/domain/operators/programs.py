"""Programs that operators and keys work on: None stands for every program, those to come included."""

from collections.abc import Sequence

from engage.domain.refusals import Code, Refusal

EVERY = "*"


def covers(own: Sequence[str] | None, other: Sequence[str] | None) -> bool:
    """Return whether whoever works on `own` may work on all of `other`."""
    return own is None or (other is not None and set(other) <= set(own))


def check_programs(own: Sequence[str] | None, given: Sequence[str] | None) -> None:
    """Check that nobody opens a program that they do not work on. Raises Refusal other_program."""
    if own is not None and given is None:
        raise Refusal(Code.OTHER_PROGRAM, program=EVERY)
    for program in given or ():
        if not covers(own, [program]):
            raise Refusal(Code.OTHER_PROGRAM, program=program)
