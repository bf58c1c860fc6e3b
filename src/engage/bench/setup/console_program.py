"""The rest of what the console shows, with SQL: campaigns with budgets and backtests, segments, draws, the
audit log, operators and keys.
"""

from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from sqlalchemy import text

from engage.bench.setup.console_members import PREFIX, named
from engage.bench.setup.past import add_campaign
from engage.domain.backtests.result import AffectedMember, BacktestDay, BacktestResult
from engage.domain.campaigns.definition import Campaign
from engage.domain.draws.beacon import QUICKNET
from engage.domain.identity import Operator
from engage.domain.program.program import Program
from engage.flows.campaigns.change import change
from engage.runtime.database import transaction
from engage.runtime.services import Services
from engage.store.audit_log import digest_sql

SEGMENTS: Final = 50
OPERATORS: Final = 200
BACKTESTS: Final = 60
DRAW: Final = "draw"
DRAWN: Final = "drawn"

# Of so many members one entered the draw, one was in the draw before it, and one is in a segment but the
# first, which has all members.
PER_ENTRY: Final = 4
PER_DRAWN: Final = 10
PER_LISTED: Final = 100
# So many entries of the audit log for a thousand members.
LOGGED: Final = 200

_SLICES: Final = 16

_BUDGETS: Final = text("""
INSERT INTO campaign_budgets (program_id, campaign_id, points)
SELECT :program_id, 'c-' || n, 10000000 FROM generate_series(0, CAST(:campaigns AS int) - 1, 3) AS n
""")
_BUDGET_SLICES: Final = text(f"""
INSERT INTO campaign_budget_slices (program_id, campaign_id, slice, points_left)
SELECT program_id, campaign_id, s, points / 32
FROM campaign_budgets, generate_series(0, {_SLICES} - 1) AS s WHERE program_id = :program_id
""")  # noqa: S608  # Made of constants, as all statements here.

_BACKTESTS: Final = text("""
INSERT INTO backtests (program_id, id, campaign_id, document, from_at, until_at, created_at, operator, state,
                       result, progress, ended_at)
SELECT :program_id, uuidv7(), 'c-0', CAST(:document AS jsonb), CAST(:now AS timestamptz) - interval '28 days',
       :now, :now, 'bench', 'done', CAST(:result AS jsonb), 1, :now
FROM generate_series(1, CAST(:backtests AS int))
""")

_SEGMENTS: Final = text("""
INSERT INTO segments (program_id, segment_id)
SELECT :program_id, 'segment-' || s FROM generate_series(0, CAST(:segments AS int) - 1) AS s
""")
_SEGMENT_VERSIONS: Final = text("""
INSERT INTO segment_versions (program_id, segment_id, version, since, changed_at, operator)
SELECT program_id, segment_id, 1, :now, CAST(:now AS timestamptz) - interval '1 minute', 'bench'
FROM segments WHERE program_id = :program_id
""")
_SEGMENT_MEMBERS: Final = text(f"""
INSERT INTO segment_members (program_id, member_id, segment_id, since)
SELECT :program_id, '{PREFIX}' || n, 'segment-' || s, :now
FROM generate_series(0, CAST(:segments AS int) - 1) AS s
CROSS JOIN LATERAL
    generate_series(s, CAST(:members AS int) - 1, CASE s WHEN 0 THEN 1 ELSE {PER_LISTED} END) AS n
""")  # noqa: S608

_DRAW: Final = text("""
INSERT INTO draws (program_id, draw_id, version, state, closes_at, round_after_s, prizes, points, last_number)
VALUES (:program_id, :draw, '#1', 'open', CAST(:now AS timestamptz) + interval '1 day', 60, 1, 100, :entries)
""")
_DRAWN: Final = text("""
INSERT INTO draws (program_id, draw_id, version, state, closes_at, round_after_s, prizes, points, last_number,
                   published_at, entries, root, beacon, public_key, round, round_at, signature, drawn_at)
VALUES (:program_id, :drawn, '#1', 'drawn', CAST(:now AS timestamptz) - interval '3 hours', 60, 1, 100,
        :listed, CAST(:now AS timestamptz) - interval '2 hours', :listed, repeat('ab', 32), :beacon,
        :public_key, 1000, CAST(:now AS timestamptz) - interval '1 hour', repeat('ab', 48), :now)
""")
_ENTRIES: Final = text(f"""
INSERT INTO draw_entries (program_id, member_id, draw_id, number, entry_id, entered_as, salt, hash,
                          entered_at)
SELECT :program_id, '{PREFIX}' || n, d.id, n + 1, uuidv7(), '{PREFIX}' || n, md5(CAST(n AS text)),
       encode(sha256(convert_to(CAST(n AS text), 'UTF8')), 'hex'),
       CAST(:now AS timestamptz) - interval '4 hours'
FROM (VALUES (CAST(:draw AS text), CAST(:entries AS int)), (:drawn, :listed)) AS d (id, count)
CROSS JOIN LATERAL generate_series(0, d.count - 1) AS n
""")  # noqa: S608
_LIST: Final = text("""
INSERT INTO draw_list (program_id, draw_id, number, hash, place)
SELECT program_id, draw_id, number, hash, CASE number WHEN 1 THEN 1 END
FROM draw_entries WHERE program_id = :program_id AND draw_id = :drawn
""")

_OPERATORS: Final = text("""
INSERT INTO operators (id, email, role, programs, created_at)
SELECT uuidv7(), 'operator-' || n || '@shop.example', 'viewer', ARRAY[CAST(:program_id AS text)], :now
FROM generate_series(1, CAST(:operators AS int)) AS n
""")
_KEYS: Final = text("""
INSERT INTO api_keys (id, name, secret_hash, scopes, programs, created_at)
SELECT 'key' || n, 'Key ' || n, sha256(convert_to(CAST(n AS text), 'UTF8')), '{shop}',
       ARRAY[CAST(:program_id AS text)], :now
FROM generate_series(1, CAST(:operators AS int)) AS n
""")

# Each entry seals the one before it, so they are added one by one.
_LOG: Final = f"""
DO $$
DECLARE
    last_seq bigint;
    last_digest bytea;
    entry record;
BEGIN
    SELECT seq, digest INTO last_seq, last_digest FROM audit_log_head;
    FOR entry IN
        SELECT uuidv7() AS id, now() AS at, CASE WHEN n % 5 > 0 THEN '{{program}}' END AS program_id,
               'bench' AS operator, 'campaign:c-' || n % {{campaigns}} AS subject, 'changed' AS action,
               'The budget' AS reason, jsonb_build_object('title', 'Campaign', 'points', n) AS before,
               jsonb_build_object('title', 'Campaign', 'points', n + 1) AS after
        FROM generate_series(1, {{entries}}) AS n
    LOOP
        last_seq := last_seq + 1;
        last_digest := {digest_sql("last_digest", "last_seq", "entry")};
        INSERT INTO audit_log (seq, digest, id, at, program_id, operator, subject, action, reason, before,
                               after)
        VALUES (last_seq, last_digest, entry.id, entry.at, entry.program_id, entry.operator, entry.subject,
                entry.action, entry.reason, entry.before, entry.after);
    END LOOP;
    UPDATE audit_log_head SET seq = last_seq, digest = last_digest;
END $$
"""  # noqa: S608

_STATEMENTS: Final = (
    *(_BUDGETS, _BUDGET_SLICES, _BACKTESTS, _SEGMENTS, _SEGMENT_VERSIONS, _SEGMENT_MEMBERS),
    *(_DRAW, _DRAWN, _ENTRIES, _LIST, _OPERATORS, _KEYS),
)


async def add_campaigns(services: Services, program: Program, count: int) -> None:
    """Add campaigns `c-0` and so on. Some are over, some run, some are scheduled; the first runs, holds
    members out, and has a draft of a second version.
    """
    now = services.clock.now()
    documents = [_document(program, n, now) for n in range(count)]
    for document in documents:
        await add_campaign(services.db, document, at=now - timedelta(days=60))
    await services.campaigns.refresh(services.db)
    draft = msgspec.convert(documents[0] | {"title": {"en": "Changed"}}, Campaign)
    await change(services, draft, expected=(1, 1), operator=Operator("1", "author"))


async def add_rest(services: Services, program: Program, members: int, *, campaigns: int) -> None:
    """Add what the console shows besides, about campaigns and members that there are."""
    now = services.clock.now()
    values: dict[str, Any] = {
        "program_id": program.id,
        "campaigns": campaigns,
        "members": members,
        "now": now,
        "document": msgspec.json.encode(_document(program, 0, now)).decode(),
        "result": msgspec.json.encode(_result(now)).decode(),
        "backtests": BACKTESTS,
        "segments": SEGMENTS,
        "draw": DRAW,
        "drawn": DRAWN,
        "entries": members // PER_ENTRY,
        "listed": members // PER_DRAWN,
        "beacon": QUICKNET.beacon,
        "public_key": QUICKNET.public_key,
        "operators": OPERATORS,
    }
    async with transaction(services.db) as conn:
        for statement in _STATEMENTS:
            await conn.execute(statement, named(statement, values))
        entries = members * LOGGED // 1_000
        await conn.exec_driver_sql(_LOG.format(program=program.id, campaigns=campaigns, entries=entries))


def _document(program: Program, number: int, now: datetime) -> dict[str, Any]:
    begin = now - timedelta(days=30 if number == 0 else number * 7 % 90 - 20)
    document: dict[str, Any] = {
        "id": f"c-{number}",
        "program": program.id,
        "title": {"en": f"Campaign {number}"},
        "from": f"{begin:%Y-%m-%dT00:00:00}",
        "until": f"{begin + timedelta(days=60 if number == 0 else 14):%Y-%m-%dT00:00:00}",
        "audience": {"countries": [["ES"], ["FR"], ["DE", "ES"]][number % 3]},
        "boosts": [
            {"id": "fuel", "rules": ["fuel"], "multiply": 2, "weekdays": ["sat", "sun"]},
            {"id": "buy", "rules": ["purchase"], "multiply": 2, "products": [f"p-{number}"]},
        ],
    }
    if number % 3 == 0:
        document |= {"budget": {"points": 10_000_000}, "holdout_percent": 10}
    return document


def _result(now: datetime) -> BacktestResult:
    days = [
        BacktestDay(
            day=(now - timedelta(days=n)).date(),
            activities=1_000 + n,
            granted_points=10_000,
            would_points=11_000,
            difference_points=1_000,
        )
        for n in range(28, 0, -1)
    ]
    members = [
        AffectedMember(member_id=f"{PREFIX}{n}", granted_points=100, would_points=200, difference_points=100)
        for n in range(20)
    ]
    return BacktestResult(
        activities=sum(day.activities for day in days),
        granted_points=sum(day.granted_points for day in days),
        would_points=sum(day.would_points for day in days),
        difference_points=sum(day.difference_points for day in days),
        cost=None,
        costs=[],
        by_day=days,
        gaining=len(members),
        losing=0,
        unchanged=0,
        most_affected=members,
        budget_hit_at=None,
        double_dipping=[],
        grantable_points=2_000,
        tried="window",
    )
