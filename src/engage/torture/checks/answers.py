"""Each answer that something was done stands for exactly one thing that was done."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from msgspec import Struct

from engage.torture.checks.books import Books
from engage.torture.checks.broken import Broken
from engage.torture.checks.evidence import Evidence
from engage.torture.checks.exchanges import Wish

ONE_ANSWER: Final = "one key has one answer"
ONE_ACTION: Final = "each 2xx is exactly one action, and a refusal is none"

EARNING: Final = ("recordFuelTap", "recordShare", "recordReview", "recordVisit")


def one_answer(evidence: Evidence) -> Iterator[Broken]:
    """All answers under one key are the same, word for word. A request that repeats what another did has done
    nothing: it is answered as a repeat, with the limits of the moment.
    """
    for wish in evidence.wishes(*EARNING, *(kind.operation for kind in KINDS)):
        is_repeat = any(isinstance(answer, dict) and answer.get("repeated") for answer in wish.answers)
        if not is_repeat and len({repr(answer) for answer in wish.answers}) > 1:
            yield Broken(ONE_ANSWER, wish.ids, f"{wish.sent.path} was answered in different ways")


def credits_exist(evidence: Evidence) -> Iterator[Broken]:
    """The credits that answers promised are in the books, for the member who was promised them."""
    for wish in evidence.wishes(*EARNING):
        for answer in wish.answers:
            if not answer["credits"]:
                yield Broken(ONE_ACTION, wish.ids, f"{wish.sent.path} was accepted, and earned nothing")
            for credit in answer["credits"]:
                row = evidence.credits_by_id.get((wish.sent.member, credit["id"]))
                if row is None or row.rule_id != credit["rule"]:
                    text = f"the credit {credit['id']} of {credit['rule']} is not in the books"
                    yield Broken(ONE_ACTION, wish.ids, text)


class Kind(Struct, frozen=True):
    """An operation that makes a row for each action. `answered`: the row's id in an answer; `made`: (member,
    id) of all rows that it made. `is_shared`: the same thing asked for again is answered with the same row.
    """

    operation: str
    answered: Callable[[Any], str]
    made: Callable[[Books], Iterable[tuple[str, str]]]
    is_shared: bool = False


KINDS: Final = (
    Kind(
        "redeemReward",
        lambda answer: str(answer["redemption_id"]),
        lambda books: ((row.member_id, str(row.redemption_id)) for row in books.coupons if row.points),
    ),
    Kind(
        "holdPoints",
        lambda answer: str(answer["hold_id"]),
        lambda books: ((row.member_id, str(row.id)) for row in books.holds if row.purpose == "checkout"),
        is_shared=True,
    ),
    Kind(
        "createWithdrawal",
        lambda answer: str(answer["id"]),
        lambda books: ((row.member_id, str(row.id)) for row in books.withdrawals),
    ),
    Kind(
        "playGame",
        lambda answer: str(answer["play_id"]),
        lambda books: ((row.member_id, str(row.id)) for row in books.game_plays),
    ),
    Kind(
        "startQuiz",
        lambda answer: str(answer["attempt_id"]),
        lambda books: ((row.member_id, str(row.id)) for row in books.quiz_attempts),
        is_shared=True,
    ),
    Kind(
        "enterDraw",
        lambda answer: str(answer["entry_id"]),
        lambda books: ((row.member_id, str(row.entry_id)) for row in books.draw_entries),
        is_shared=True,
    ),
    Kind(
        "adjustPoints",
        lambda answer: str(answer["entry"]["credit_id"] or answer["entry"]["seq"]),
        lambda books: (
            (row.member_id, str(row.credit_id or row.seq))
            for row in books.entries
            if row.kind == "adjustment"
        ),
        is_shared=True,
    ),
)


def one_action(evidence: Evidence) -> Iterator[Broken]:
    """Rows and answers match one to one. A row without an answer needs a request whose answer was lost."""
    for kind in KINDS:
        wishes = evidence.wishes(kind.operation)
        made = set(kind.made(evidence.books))
        claims = _claims(wishes, kind)
        yield from _wrong_claims(kind, claims, {id_ for _, id_ in made})
        yield from _without_request(evidence, kind, wishes, made, claims)


def _claims(wishes: list[Wish], kind: Kind) -> Mapping[str, list[Wish]]:
    """Wishes by the id that their first answer names."""
    claims: defaultdict[str, list[Wish]] = defaultdict(list)
    for wish in wishes:
        for answer in wish.answers[:1]:
            claims[kind.answered(answer)].append(wish)
    return claims


def _wrong_claims(kind: Kind, claims: Mapping[str, list[Wish]], made: set[str]) -> Iterator[Broken]:
    for id_, wishes in claims.items():
        ids = tuple(id_ for wish in wishes for id_ in wish.ids)
        if id_ not in made:
            yield Broken(ONE_ACTION, ids, f"{kind.operation} answered {id_}, which is not in the books")
        if len(wishes) > 1 and not kind.is_shared:
            yield Broken(ONE_ACTION, ids, f"{kind.operation} answered {id_} to {len(wishes)} requests")


def _without_request(
    evidence: Evidence,
    kind: Kind,
    wishes: list[Wish],
    made: set[tuple[str, str]],
    claims: Mapping[str, list[Wish]],
) -> Iterator[Broken]:
    """Rows that no answer named, of members who have lost fewer answers than that."""
    unnamed: defaultdict[str, list[str]] = defaultdict(list)
    for member, id_ in made:
        if id_ not in claims and member not in evidence.books.closed:
            unnamed[member].append(id_)
    for member, ids in unnamed.items():
        lost = [wish for wish in wishes if wish.outcome == "unknown" and member_of(wish) == member]
        if len(ids) > len(lost):
            text = f"{len(ids)} by {kind.operation} without an answer, and {len(lost)} lost: {ids}"
            yield Broken(ONE_ACTION, tuple(id_ for wish in lost for id_ in wish.ids), f"{member}: {text}")


def member_of(wish: Wish) -> str:
    """The member whom a request is about: the one who sent it, or that the shop named."""
    body = wish.sent.body
    named = body.get("member_id") if isinstance(body, dict) else None
    return str(named or wish.sent.member)
