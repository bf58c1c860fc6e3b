"""Members play, answer quizzes, and invite others."""

from random import Random
from typing import Any, Final

from engage.torture.members.actions import Action
from engage.torture.members.knowledge import Knowledge, get, post

# As the document of the members' program has them.
RIGHT: Final = {"one": ["two"], "several": ["four", "six"]}
WRONG: Final = {"one": ["three"], "several": ["five"]}


def play(_: Knowledge, __: Random) -> Action:
    return post("playGame", "/v1/games/wheel/plays")


def start_quiz(_: Knowledge, __: Random) -> Action:
    return post("startQuiz", "/v1/quizzes/sums/attempts")


def answer_quiz(known: Knowledge, rng: Random) -> Action | None:
    if not known.attempts:
        return None
    attempt_id = rng.choice(list(known.attempts))
    answers: dict[str, Any] = {
        question["id"]: rng.choice([RIGHT, RIGHT, WRONG])[question["id"]]
        for question in known.attempts[attempt_id]
    }
    return post("answerQuiz", f"/v1/quizzes/sums/attempts/{attempt_id}/answers", {"answers": answers})


def invite(_: Knowledge, __: Random) -> Action:
    return get("getReferral", "/v1/me/referral")


def accept_invitation(known: Knowledge, rng: Random) -> Action | None:
    """Use a code that another member has made known, or the member's own."""
    codes = sorted(known.codes)
    return post("createReferral", "/v1/referrals", {"code": rng.choice(codes)}) if codes else None


def look_challenges(_: Knowledge, __: Random) -> Action:
    return get("listChallenges", "/v1/me/challenges")


CHOICES = (
    (4, play),
    (3, start_quiz),
    (3, answer_quiz),
    (1, invite),
    (1, accept_invitation),
    (1, look_challenges),
)
