"""A run that judged nothing says so, and fails."""

import pytest
from msgspec.structs import replace

from engage.cli.torture import show
from engage.torture.plan import Step, make_plan
from engage.torture.proof import judged, unproved
from engage.torture.recovery import Recovery
from engage.torture.rounds import Done, Round
from engage.torture.run import Result

KILL = Step(round=0, fault="kill", target="api-1", begin_s=0, length_s=0)
DONE = Done(step=KILL, began=1.0, ended=1.0)
NOT_DONE = replace(DONE, note="OSError: no space")

KEPT = Round([DONE], Recovery(1.0, 0.0))
TOO_BUSY = Round([DONE], Recovery(40.0, 39.0))
WITHOUT_FAULT = Round([NOT_DONE], Recovery(1.0, 0.0))
HALF_DONE = Round([NOT_DONE, DONE], Recovery(1.0, 0.0))


@pytest.mark.parametrize(
    ("rounds", "accepted", "why"),
    [
        ([], 9, "no round of faults was done"),
        ([TOO_BUSY, TOO_BUSY], 9, "none of the 2 rounds was judged"),
        ([WITHOUT_FAULT], 9, "none of the 1 rounds was judged"),
        ([KEPT], 0, "no request of the members had a 2xx answer"),
        ([KEPT, TOO_BUSY], 1, ""),
    ],
)
def test_a_run_that_judged_nothing_proves_nothing(rounds: list[Round], accepted: int, why: str) -> None:
    assert unproved(rounds, accepted).startswith(why)
    assert bool(unproved(rounds, accepted)) is bool(why)


def test_a_round_is_judged_by_a_fault_that_was_done() -> None:
    assert judged([KEPT, TOO_BUSY, WITHOUT_FAULT, HALF_DONE]) == 2


@pytest.mark.parametrize(
    ("rounds", "accepted", "last"),
    [
        ([KEPT, TOO_BUSY], 12, "every promise was kept"),
        ([TOO_BUSY], 12, "nothing is proved: none of the 1 rounds was judged"),
        ([KEPT], 0, "nothing is proved: no request of the members had a 2xx answer"),
    ],
)
def test_the_summary_says_what_was_judged(
    rounds: list[Round],
    accepted: int,
    last: str,
    tmp_path_factory: pytest.TempPathFactory,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path_factory.mktemp("torture")
    (folder / "record.jsonl").touch()
    result = Result(
        plan=make_plan(7, minutes=1),
        requests=40,
        accepted=accepted,
        rounds=rounds,
        judged=judged(rounds),
        unproved=unproved(rounds, accepted),
        skipped={},
        broken=[],
        folder=str(folder),
    )
    show(result)
    shown = capsys.readouterr().out
    assert f"{judged(rounds)} of {len(rounds)} rounds judged" in shown
    assert f"{accepted} with a 2xx answer" in shown
    assert shown.splitlines()[-1].startswith(last)
