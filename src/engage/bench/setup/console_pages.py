"""The pages of the console that are measured: an address or several for each that the console has."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import quote

from litestar.routes import HTTPRoute
from msgspec import Struct
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from engage.bench.setup.console_members import BUSY, BUSY_CREDITS, PREFIX
from engage.bench.setup.console_program import DRAW, DRAWN
from engage.bench.setup.engaged_program import ENGAGED
from engage.bench.setup.queries import fetch_row
from engage.console import assets
from engage.console.site import console_router
from engage.settings import Settings

_CAMPAIGN: Final = "/console/campaigns/c-0"
_MEMBER: Final = f"/console/members/{ENGAGED}/{BUSY}0"

# By the path of the route. `{name}` is one of `known_ids`. First a page as it opens, then with a search, a
# later page of its list, or a report.
ADDRESSES: Final[Mapping[str, tuple[str, ...]]] = {
    "/console": ("/console",),
    "/console/sign-in": ("/console/sign-in",),
    "/console/account": ("/console/account",),
    "/console/assets/{version:str}/{name:str}": ("{asset}",),
    "/console/campaigns": (
        "/console/campaigns",
        f"/console/campaigns?program={ENGAGED}",
        "/console/campaigns?search=campaign+7",
        "/console/campaigns?state=running",
        "/console/campaigns?month={next_month}",
        "/console/campaigns?granted=yes",
    ),
    "/console/campaigns/new": (f"/console/campaigns/new?program={ENGAGED}",),
    "/console/campaigns/{campaign_id:str}": (_CAMPAIGN,),
    "/console/campaigns/{campaign_id:str}/edit": (f"{_CAMPAIGN}/edit",),
    "/console/campaigns/{campaign_id:str}/report": (
        f"{_CAMPAIGN}/report",
        "/console/campaigns/c-4/report",
        f"{_CAMPAIGN}/report?holdout=yes",
    ),
    "/console/campaigns/{campaign_id:str}/versions": (f"{_CAMPAIGN}/versions",),
    "/console/campaigns/{campaign_id:str}/try": (f"{_CAMPAIGN}/try",),
    "/console/campaigns/{campaign_id:str}/backtests": (f"{_CAMPAIGN}/backtests",),
    "/console/campaigns/{campaign_id:str}/backtests/{backtest_id:uuid}": (
        f"{_CAMPAIGN}/backtests/{{backtest}}",
    ),
    "/console/rewards": ("/console/rewards",),
    "/console/rewards/{program_id:str}/{version:str}/terms": (
        f"/console/rewards/{ENGAGED}/{{version}}/terms",
    ),
    "/console/quizzes": ("/console/quizzes",),
    "/console/quizzes/new": ("/console/quizzes/new",),
    "/console/quizzes/{program_id:str}/{definition_id:str}": (f"/console/quizzes/{ENGAGED}/quiz",),
    "/console/quizzes/{program_id:str}/{definition_id:str}/edit": (f"/console/quizzes/{ENGAGED}/quiz/edit",),
    "/console/draws": ("/console/draws",),
    "/console/draws/new": ("/console/draws/new",),
    "/console/draws/{program_id:str}/{definition_id:str}": (
        f"/console/draws/{ENGAGED}/{DRAW}",
        f"/console/draws/{ENGAGED}/{DRAWN}?winners=yes",
    ),
    "/console/draws/{program_id:str}/{definition_id:str}/edit": (f"/console/draws/{ENGAGED}/{DRAW}/edit",),
    "/console/draws/{program_id:str}/{draw_id:str}/certificate": (
        f"/console/draws/{ENGAGED}/{DRAWN}/certificate",
    ),
    "/console/programs": ("/console/programs",),
    "/console/programs/publish": (f"/console/programs/publish?program={ENGAGED}",),
    "/console/programs/{program_id:str}": (f"/console/programs/{ENGAGED}",),
    "/console/programs/{program_id:str}/versions/{version:str}": (
        f"/console/programs/{ENGAGED}/versions/{{version}}",
    ),
    "/console/programs/{program_id:str}/differences": ("/console/programs/eu-mi-points/differences",),
    "/console/segments": ("/console/segments",),
    "/console/segments/new": (f"/console/segments/new?program={ENGAGED}&segment=new",),
    "/console/segments/{program_id:str}/{segment_id:str}": (f"/console/segments/{ENGAGED}/segment-0",),
    "/console/segments/{program_id:str}/{segment_id:str}/edit": (
        f"/console/segments/{ENGAGED}/segment-0/edit",
    ),
    "/console/segments/{program_id:str}/{segment_id:str}/members.csv": (
        f"/console/segments/{ENGAGED}/segment-0/members.csv",
        f"/console/segments/{ENGAGED}/segment-1/members.csv",
    ),
    "/console/reports": (
        "/console/reports",
        f"/console/reports?show=balance&member={BUSY}0",
        f"/console/reports?show=liability&program={ENGAGED}",
    ),
    "/console/reports/liability.csv": (f"/console/reports/liability.csv?program={ENGAGED}",),
    "/console/health": ("/console/health",),
    "/console/operators": ("/console/operators",),
    "/console/operators/new": ("/console/operators/new",),
    "/console/operators/{operator_id:uuid}": ("/console/operators/{operator}",),
    "/console/keys": ("/console/keys",),
    "/console/keys/new": ("/console/keys/new",),
    "/console/keys/{key_id:str}": ("/console/keys/key1",),
    "/console/audit": (
        "/console/audit",
        f"/console/audit?program={ENGAGED}",
        "/console/audit?subject=campaign:c-7",
        "/console/audit?before={entry}",
    ),
    "/console/members": (
        "/console/members",
        f"/console/members?search={PREFIX}1",
        f"/console/members?search=card-{PREFIX}1",
        "/console/members?search=600000001",
        "/console/members?search=nobody",
    ),
    "/console/members/{program:str}/{member_id:str}": (_MEMBER, f"{_MEMBER}?before={BUSY_CREDITS // 2}"),
    "/console/members/{program:str}/{member_id:str}/credits": (
        f"{_MEMBER}/credits",
        f"{_MEMBER}/credits?state=reversed",
    ),
    "/console/members/{program:str}/{member_id:str}/orders": (
        f"{_MEMBER}/orders",
        f"{_MEMBER}/orders?before={{order_at}}/x",
    ),
    "/console/members/{program:str}/{member_id:str}/coupons": (f"{_MEMBER}/coupons",),
    "/console/members/{program:str}/{member_id:str}/correct": (f"{_MEMBER}/correct",),
    "/console/members/{program:str}/{member_id:str}/merge": (f"{_MEMBER}/merge?into={PREFIX}1",),
    "/console/members/{program:str}/{member_id:str}/erase": (f"{_MEMBER}/erase",),
    "/console/corrections": ("/console/corrections", "/console/corrections?state=made"),
    "/console/corrections/{correction_id:uuid}": ("/console/corrections/{correction}",),
    "/console/referrals": ("/console/referrals", "/console/referrals?state=approved"),
    "/console/referrals/{referral_id:uuid}": ("/console/referrals/{referral}",),
    "/console/suspicions": ("/console/suspicions", "/console/suspicions?state=released"),
    "/console/suspicions/{suspicion_id:uuid}": ("/console/suspicions/{suspicion}",),
    "/console/withdrawals": (
        "/console/withdrawals",
        "/console/withdrawals?which=open",
        "/console/withdrawals?which=different",
    ),
    "/console/withdrawals/{withdrawal_id:uuid}": ("/console/withdrawals/{withdrawal}",),
    "/console/{rest:path}": ("/console/nothing/here",),
}

_IDS: Final = text("""
SELECT (SELECT id FROM backtests WHERE campaign_id = 'c-0' ORDER BY id LIMIT 1) AS backtest,
       (SELECT id FROM operators WHERE role = 'viewer' ORDER BY id LIMIT 1) AS operator,
       (SELECT id FROM corrections WHERE state = 'requested' ORDER BY id LIMIT 1) AS correction,
       (SELECT id FROM referrals WHERE state = 'flagged' ORDER BY id LIMIT 1) AS referral,
       (SELECT id FROM suspicions ORDER BY id LIMIT 1) AS suspicion,
       (SELECT id FROM withdrawals WHERE state <> 'settled' ORDER BY id LIMIT 1) AS withdrawal,
       (SELECT seq / 2 FROM audit_log_head) AS entry,
       (SELECT version FROM program_versions WHERE program_id = :program_id LIMIT 1) AS version
""")


class Address(Struct, frozen=True):
    """An address, and the path of its route."""

    route: str
    path: str


def routes(settings: Settings) -> set[str]:
    """The paths of all routes of the console that are read."""
    return {
        route.path or "/"
        for route in console_router(settings).routes
        if isinstance(route, HTTPRoute) and "GET" in route.methods
    }


async def addresses(db: AsyncEngine, now: datetime) -> list[Address]:
    """All addresses, with the ids of what the database has."""
    ids = await known_ids(db, now)
    return [
        Address(route, address.format_map(ids)) for route, found in ADDRESSES.items() for address in found
    ]


async def known_ids(db: AsyncEngine, now: datetime) -> dict[str, Any]:
    row = await fetch_row(db, _IDS, program_id=ENGAGED)
    return dict(row._mapping) | {
        "asset": assets.path_of("console.css"),
        "next_month": f"{now.replace(day=1) + timedelta(days=32):%Y-%m}",
        "order_at": quote((now - timedelta(days=40)).isoformat()),
    }
