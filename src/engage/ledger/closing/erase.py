"""A ledger without the person: amounts, times and rules stay, and whatever tells who it was or what they did
goes.

What an entry is about (a product, an order, a share) is in source keys, references and in what a decision was
made of. A key has to stay unique, so it becomes a digest of itself with a salt that nobody keeps.
"""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

ERASURE: Final = "erasure"

_DIGEST: Final = "left(encode(sha256(convert_to(CAST(:salt AS text) || {}, 'UTF8')), 'hex'), 32)"

# Keys of nothing but a rule, a day, and a place in a window; and those made of ids that stay.
_PLAIN: Final = "^[a-z][a-z0-9_]*(:[0-9]{4}-[0-9]{2}(-[0-9]{2})?(:[0-9]{1,9})?)?$"

# Two credits that share a slot have the same key after their rule, and go on having it.
_CREDITS = text(f"""
UPDATE credits
SET source_key = CASE
        WHEN source_key ~ '{_PLAIN}'
             OR source_key LIKE 'transfer:%' OR source_key LIKE 'opening:%' THEN source_key
        WHEN source_key LIKE 'order:%'
            THEN 'order:' || {_DIGEST.format("coalesce(reference, source_key)")} || ':' || rule_id
        ELSE split_part(source_key, ':', 1) || ':'
             || {_DIGEST.format("substr(source_key, position(':' IN source_key))")}
    END,
    reference = NULL,
    why = jsonb_build_object(
        'program', program_id, 'version', program_version, 'rule', rule_id, 'at', activity_at,
        'zone', why -> 'zone',
        'inputs', jsonb_strip_nulls(jsonb_build_object(
            'day', why -> 'inputs' -> 'day', 'zone', why -> 'inputs' -> 'zone',
            'streak_days', why -> 'inputs' -> 'streak_days'
        )),
        'trace', CAST('["erased"]' AS jsonb)
    )
WHERE program_id = :program_id AND member_id = ANY(CAST(:member_ids AS text[]))
""")  # noqa: S608  # Constants of this module, here and below.

_ENTRIES = text("""
UPDATE entries SET reference = NULL
WHERE program_id = :program_id AND member_id = ANY(CAST(:member_ids AS text[]))
  AND reference IS NOT NULL AND reference <> :erasure AND reference NOT LIKE 'merge:%'
""")

_REDUCTIONS = text(f"""
UPDATE reductions SET reference = {_DIGEST.format("reference")}
WHERE program_id = :program_id AND member_id = ANY(CAST(:member_ids AS text[]))
""")  # noqa: S608

_HOLDS = text("""
UPDATE holds SET order_id = NULL, request = NULL
WHERE program_id = :program_id AND member_id = ANY(CAST(:member_ids AS text[]))
""")

_ADJUSTMENTS = text(f"""
UPDATE adjustments SET reason = '', reference = {_DIGEST.format("reference")}
WHERE program_id = :program_id AND member_id = ANY(CAST(:member_ids AS text[]))
""")  # noqa: S608


async def erase_ledger(
    conn: AsyncConnection, program_id: str, member_ids: Sequence[str], *, salt: str
) -> None:
    """Takes from the ledger of these members all that is personal. `salt` is random, and forgotten."""
    of = {"program_id": program_id, "member_ids": list(member_ids)}
    await conn.execute(_CREDITS, of | {"salt": salt})
    await conn.execute(_ENTRIES, of | {"erasure": ERASURE})
    for statement in (_REDUCTIONS, _ADJUSTMENTS):
        await conn.execute(statement, of | {"salt": salt})
    await conn.execute(_HOLDS, of)
