"""The story of a broken promise has the member's requests and the faults around them, in order."""

from engage.torture.checks import Broken
from engage.torture.plan import Step
from engage.torture.record import Answered, Line, Lost, Sent
from engage.torture.recovery import Recovery
from engage.torture.rounds import Done, Round
from engage.torture.story import LONGEST, story_of

KILL = Step(round=0, fault="kill", target="api-1", begin_s=0, length_s=0)
STOP = Step(round=1, fault="stop", target="feed", begin_s=0, length_s=2.5)
ROUNDS = [
    Round([Done(step=KILL, began=101.0, ended=101.0)], Recovery(1.0, 0.0)),
    Round([Done(step=STOP, began=300.0, ended=302.5)], Recovery(1.0, 0.0)),
]


def _sent(number: int, at: float, member: str) -> Sent:
    return Sent(id=number, at=at, member=member, method="POST", path="/v1/fuel/taps")


LINES: list[Line] = [
    _sent(1, 100.0, "anna"),
    _sent(2, 100.2, "boris"),
    Lost(sent_id=1, at=101.0, error="ReadError"),
    Answered(sent_id=2, at=101.1, status=202, headers={}, body={"credits": []}),
    _sent(3, 102.0, "anna"),
    Answered(sent_id=3, at=102.5, status=202, headers={}, body={"credits": [1]}),
    _sent(4, 300.0, "anna"),
]


def test_a_story_has_the_member_and_the_faults_around() -> None:
    story = story_of(Broken("each 2xx one credit", (1, 3), "two credits"), LINES, ROUNDS)
    assert story == [
        "each 2xx one credit: two credits",
        "   0.000 s  ! anna #1 POST /v1/fuel/taps",
        "   1.000 s    anna #1 no answer: ReadError",
        "   1.000 s  * kill api-1 begins",
        "   2.000 s  ! anna #3 POST /v1/fuel/taps",
        "   2.500 s    anna #3 202 {'credits': [1]}",
    ]


def test_a_story_without_requests_has_all_faults() -> None:
    story = story_of(Broken("live again", (), "not after 10 s"), LINES, ROUNDS)
    assert [line[12:] for line in story[1:]] == [
        "* kill api-1 begins",
        "* stop feed 2.5 s begins",
        "* stop feed ends",
    ]


def test_a_long_story_keeps_its_begin_and_its_end() -> None:
    lines: list[Line] = [_sent(number, 100.0 + number / 100, "anna") for number in range(200)]
    story = story_of(Broken("kept", (0, 199), ""), lines, [])
    assert len(story) <= LONGEST + 2
    assert "#0 " in story[1]
    assert "#199 " in story[-1]
