"""The story of a broken promise: requests and answers of the members concerned, and the faults around them.

Pure: lines of text, in the order of time.
"""

from collections.abc import Iterator, Sequence

from engage.torture.checks import Broken
from engage.torture.plan import text_of_step
from engage.torture.record import Answered, Line, Lost, Pushed, Sent
from engage.torture.rounds import Round

AROUND_S = 5.0  # Before the first request that shows it, and after the last.
LONGEST = 60
BODY = 300

Moment = tuple[float, str]


def story_of(broken: Broken, lines: Sequence[Line], rounds: Sequence[Round]) -> list[str]:
    """Return the lines of a story. Times count from its first one."""
    members, begin, end = _scope(broken, lines)
    moments = sorted(
        [
            *_faults(rounds, begin - AROUND_S, end + AROUND_S),
            *(moment for moment in _requests(lines, members, broken) if begin <= moment[0] <= end + AROUND_S),
        ]
    )
    shown = moments if len(moments) <= LONGEST else [*moments[: LONGEST // 2], *moments[-LONGEST // 2 :]]
    start = shown[0][0] if shown else 0.0
    text = [f"{at - start:8.3f} s  {text}".rstrip() for at, text in shown]
    if len(shown) < len(moments):
        text.insert(LONGEST // 2, f"           … {len(moments) - len(shown)} more")
    return [f"{broken.promise}: {broken.text}", *text]


def _scope(broken: Broken, lines: Sequence[Line]) -> tuple[set[str], float, float]:
    """Return the members concerned, and when the requests that show it were sent, first and last."""
    ids = set(broken.story_ids)
    showing = [line for line in lines if isinstance(line, Sent) and line.id in ids]
    if not showing:
        return set(), float("-inf"), float("inf")
    return (
        {line.member for line in showing},
        min(line.at for line in showing),
        max(line.at for line in showing),
    )


def _requests(lines: Sequence[Line], members: set[str], broken: Broken) -> Iterator[Moment]:
    """Yield what the members sent and received. Those that show it are marked."""
    ours: dict[int, Sent] = {}
    for line in lines:
        match line:
            case Sent() if line.member in members:
                ours[line.id] = line
                mark = "!" if line.id in broken.story_ids else " "
                again = "" if line.repeat_of is None else f" (again {line.repeat_of})"
                yield (
                    line.at,
                    f"{mark} {line.member} #{line.id} {line.method} {line.path} {_cut(line.body)}{again}",
                )
            case Answered() if line.sent_id in ours:
                yield (
                    line.at,
                    f"  {ours[line.sent_id].member} #{line.sent_id} {line.status} {_cut(line.body)}",
                )
            case Lost() if line.sent_id in ours:
                yield line.at, f"  {ours[line.sent_id].member} #{line.sent_id} no answer: {line.error}"
            case Pushed() if line.member in members:
                yield line.at, f"  {line.member} feed {_cut(line.message)}"


def _faults(rounds: Sequence[Round], begin: float, end: float) -> Iterator[Moment]:
    for each in rounds:
        for done in each.done:
            if done.ended < begin or done.began > end:
                continue
            yield done.began, f"* {text_of_step(done.step)} begins {done.note}".rstrip()
            if done.step.length_s:
                yield done.ended, f"* {done.step.fault} {done.step.target} ends"


def _cut(body: object) -> str:
    text = "" if body is None else str(body)
    return text if len(text) <= BODY else f"{text[:BODY]}…"
