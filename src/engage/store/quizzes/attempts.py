"""Attempts at quizzes, and how many of a window are used.

They are written while their member is locked against mergers and erasures (`members.lock_open`). The unique
place in a window decides which of several that are begun at once is the attempt.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.keys import EVER, AttemptKey, quiz_keys
from engage.schema.quizzes import quiz_attempts as table
from engage.schema.rows import Batch, from_row, select_list


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt. It is open until it is answered or `expires_at`. `version` is that of the quiz."""

    program_id: str
    member_id: str
    id: UUID
    quiz_id: str
    version: str
    of_window: str
    number: int
    allowed: int
    seed: bytes
    started_at: datetime
    expires_at: datetime
    answered_at: datetime | None = None
    answers: dict[str, list[str]] | None = None
    correct: int | None = None
    points: int | None = None
    credit_id: UUID | None = None

    @property
    def key(self) -> AttemptKey:
        return self.program_id, self.member_id, self.id


class AttemptsQuery(msgspec.Struct, frozen=True):
    """A member, a quiz and the label of a window."""

    program_id: str
    member_id: str
    quiz_id: str
    of_window: str


class AttemptsUsed(msgspec.Struct, frozen=True):
    """The attempts of a window: their number, and the highest place. `open` is the attempt at the quiz, of
    any window, that can still be answered. `taken` are source keys of attempts at a quiz without windows that
    an earlier account of the person has used: these attempts are counted too.
    """

    used: int
    latest: int
    taken: list[str]
    open: Attempt | None


_QUERIES = Batch("k", table, "program_id", "member_id", "quiz_id", "of_window", keys="text")
_KEYS = Batch("k", table, "program_id", "member_id", "id")
_NEW = Batch(
    "n",
    table,
    *("program_id", "member_id", "id", "quiz_id", "version", "of_window", "number", "allowed", "seed"),
    *("started_at", "expires_at"),
)
_ANSWERED = Batch(
    "w",
    table,
    *("program_id", "member_id", "id", "answered_at", "answers", "correct", "points", "credit_id"),
)
_COLUMNS = select_list(Attempt, "a")

_USED = text(f"""
SELECT k.program_id, k.member_id, k.quiz_id, k.of_window, w.used, w.latest, w.taken, a.*
FROM {_QUERIES}
CROSS JOIN LATERAL (
    SELECT count(*) AS used, coalesce(max(u.number), 0) AS latest,
           array(
               SELECT c.source_key FROM credits c
               WHERE c.program_id = k.program_id AND c.member_id = k.member_id AND c.points = 0
                 AND c.reference IS NULL
                 AND c.source_key >= k.keys AND c.source_key < k.keys || '~'
           ) AS taken
    FROM quiz_attempts u
    WHERE u.program_id = k.program_id AND u.member_id = k.member_id AND u.quiz_id = k.quiz_id
      AND u.of_window = k.of_window
) w
LEFT JOIN LATERAL (
    SELECT {_COLUMNS} FROM quiz_attempts a
    WHERE a.program_id = k.program_id AND a.member_id = k.member_id AND a.quiz_id = k.quiz_id
      AND a.answered_at IS NULL AND a.expires_at > :now
    ORDER BY a.expires_at LIMIT 1
) a ON true
""")  # noqa: S608  # Names of the schema, here and below.

_LOCK = text(f"""
SELECT {_COLUMNS} FROM {_KEYS} JOIN quiz_attempts a USING (program_id, member_id, id)
ORDER BY a.program_id, a.member_id, a.id FOR UPDATE OF a
""")  # noqa: S608

_ADD = text(f"""
INSERT INTO quiz_attempts ({_NEW.columns}) SELECT {_NEW.columns} FROM {_NEW}
ORDER BY program_id COLLATE "C", member_id COLLATE "C", quiz_id COLLATE "C", of_window COLLATE "C", number
ON CONFLICT DO NOTHING
RETURNING id
""")  # noqa: S608

_ANSWER = text(f"""
UPDATE quiz_attempts a
SET answered_at = w.answered_at, answers = w.answers, correct = w.correct, points = w.points,
    credit_id = w.credit_id
FROM {_ANSWERED}
WHERE a.program_id = w.program_id AND a.member_id = w.member_id AND a.id = w.id
""")  # noqa: S608

_encode = msgspec.json.Encoder().encode


async def read_used(
    conn: AsyncConnection, queries: Iterable[AttemptsQuery], *, now: datetime
) -> dict[AttemptsQuery, AttemptsUsed]:
    """Read the attempts of each window, with one that is open."""
    found = {}
    keys = [
        (*msgspec.structs.astuple(query), quiz_keys(query.quiz_id, EVER) if query.of_window == EVER else None)
        for query in sorted(set(queries), key=msgspec.structs.astuple)
    ]
    for row in await conn.execute(_USED, _QUERIES.of(keys) | {"now": now}):
        program_id, member_id, quiz_id, of_window, used, latest, taken, *attempt = row
        is_open = attempt[2] is not None
        found[AttemptsQuery(program_id, member_id, quiz_id, of_window)] = AttemptsUsed(
            used + len(taken), latest, taken, from_row(Attempt, attempt) if is_open else None
        )
    return found


async def lock_attempts(conn: AsyncConnection, keys: Iterable[AttemptKey]) -> dict[AttemptKey, Attempt]:
    """Lock attempts until the transaction ends; unknown ones are absent. Comes before locks of the ledger."""
    rows = await conn.execute(_LOCK, _KEYS.of(sorted(set(keys))))
    return {attempt.key: attempt for row in rows for attempt in [from_row(Attempt, row)]}


async def add_attempts(conn: AsyncConnection, attempts: Sequence[Attempt]) -> set[UUID]:
    """Add attempts that begin; the ids of those whose place was free."""
    return set((await conn.execute(_ADD, _NEW.of_structs(attempts))).scalars())


async def write_answers(conn: AsyncConnection, attempts: Sequence[Attempt]) -> None:
    """Write the answers of attempts that are locked, with their grade."""
    rows = [
        (
            *(*attempt.key, attempt.answered_at, _json(attempt.answers)),
            *(attempt.correct, attempt.points, attempt.credit_id),
        )
        for attempt in attempts
    ]
    await conn.execute(_ANSWER, _ANSWERED.of(rows))


def _json(answers: Mapping[str, Any] | None) -> str:
    return _encode(answers).decode()
