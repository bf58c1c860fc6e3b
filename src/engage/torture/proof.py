"""The reasons why a run that broke no promise proves nothing either."""

from collections.abc import Sequence

from engage.torture.rounds import Round


def judged(rounds: Sequence[Round]) -> int:
    """Count the rounds that were judged."""
    return sum(each.is_judged for each in rounds)


def unproved(rounds: Sequence[Round], accepted: int) -> str:
    """Return why a run proves nothing; nothing if it does. `accepted`: requests with a 2xx answer."""
    if not rounds:
        return "no round of faults was done"
    if not judged(rounds):
        why = "the machine was too busy, or no fault could be done"
        return f"none of the {len(rounds)} rounds was judged: {why}"
    if not accepted:
        return "no request of the members had a 2xx answer"
    return ""
