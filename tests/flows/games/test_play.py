"""Games are played within their chances, and pay within their limits, whoever plays and however often."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from msgspec.structs import replace

from engage.domain.games.kind import GAME
from engage.domain.games.outcome import draw
from engage.domain.refusals import Refusal
from engage.flows.definitions.change import change_definition
from engage.flows.games import runs
from engage.flows.games.certificates import reveal_due
from engage.flows.games.play import play
from engage.flows.games.player import GamePlayed, PlayRequest
from engage.flows.games.read import list_games, read_game
from engage.flows.games.runs import commit_games
from engage.flows.members.erase import erase_member
from engage.flows.members.merge import merge_members
from engage.flows.reads.balances import read_balances
from engage.flows.rewards.coupons import read_coupons, void_coupon
from engage.runtime.services import Services
from engage.settings import Settings
from tests.support.audit import assert_audit_is_clean
from tests.support.clock import DAY, NOON, advance, stopped_clock
from tests.support.database import rows
from tests.support.games import (
    ARCADE,
    DOCUMENT,
    add_game,
    certificate,
    game,
    play_once,
    players,
    prize,
    try_play,
)
from tests.support.programs import services_with

QUARTER = timedelta(minutes=15)
MIDNIGHT = datetime(2026, 11, 22, tzinfo=UTC)  # In Ouagadougou.


@pytest.fixture
async def services(settings: Settings) -> AsyncIterator[Services]:
    async with services_with(settings, DOCUMENT) as opened:
        yield opened
        await assert_audit_is_clean(opened)


@pytest.fixture
async def other(settings: Settings, services: Services) -> AsyncIterator[Services]:
    async with services_with(settings, clock=services.clock) as opened:
        yield opened


async def refused(services: Services, member_id: str = "bf-0", game_id: str = "wheel") -> Refusal:
    (answer,) = await try_play(services, [member_id], game_id)
    assert isinstance(answer, Refusal), answer
    return answer


async def test_a_play_wins_points_that_become_active_when_they_are_due(services: Services) -> None:
    await add_game(services)
    await players(services, 1)
    played = await play_once(services)
    assert played.prize is not None
    assert (played.number, played.prize.id, played.prize.title) == (1, "points", "Prize points")
    (credit,) = played.credits
    assert (credit.rule, credit.points, credit.state) == ("game:wheel", 10, "pending")
    assert credit.due_at == NOON + timedelta(minutes=5)
    assert (played.chances_left, played.resets_at, played.coupon) == (2, MIDNIGHT, None)
    found = await rows(services.db, "SELECT source_key, why -> 'inputs' ->> 'prize' FROM credits")
    assert found == [("game:wheel:1:1", "points")]


async def test_a_play_that_draws_nothing_takes_a_chance_too(services: Services) -> None:
    await add_game(services, game(prizes=[prize(odds="1/999999999")]))
    await players(services, 1)
    played = await play_once(services)
    assert (played.prize, played.credits, played.chances_left) == (None, [], 2)


async def test_chances_end_and_come_again(services: Services) -> None:
    await add_game(services, game(chances={"count": 2, "window": "day", "extra_after": "PT15M"}))
    await players(services, 1)
    left = [await play_once(services) for _ in range(2)]
    assert [(p.chances_left, p.resets_at) for p in left] == [(1, MIDNIGHT), (0, NOON + QUARTER)]
    no = await refused(services)
    assert (no.code, no.status, no.facts["resets_at"]) == ("no_chances_left", 409, NOON + QUARTER)
    advance(services, QUARTER)
    extra = await play_once(services)
    assert (extra.chances_left, extra.resets_at) == (0, MIDNIGHT)
    advance(services, QUARTER)
    assert (await refused(services)).facts["resets_at"] == MIDNIGHT, "one extra chance in a window"
    stopped_clock(services).at = MIDNIGHT
    assert (await play_once(services)).chances_left == 1


async def test_days_are_those_of_each_member(services: Services) -> None:
    await add_game(services, game(chances={"count": 1, "window": "day"}))
    await players(services, 1)
    await players(services, 1, country="IN")
    assert [not isinstance(a, Refusal) for a in await try_play(services, ["bf-0", "in-0"])] == [True, True]
    stopped_clock(services).at = datetime(2026, 11, 21, 18, 30, tzinfo=UTC)  # Midnight in Kolkata.
    answers = await try_play(services, ["bf-0", "in-0"])
    assert [isinstance(answer, Refusal) for answer in answers] == [True, False]


async def test_a_game_is_unknown_before_and_after_its_window(services: Services) -> None:
    await players(services, 1)
    await players(services, 1, country="IN")
    assert (await refused(services)).code == "not_found"
    await add_game(services, game(**{"from": "2026-11-22T00:00:00", "until": "2026-11-23T00:00:00"}))
    assert (await refused(services)).status == 404
    stopped_clock(services).at = datetime(2026, 11, 21, 18, 30, tzinfo=UTC)
    assert (await refused(services)).code == "not_found", "it has only opened in India"
    await play_once(services, "in-0")
    stopped_clock(services).at = MIDNIGHT + DAY
    assert (await refused(services)).code == "not_found"


async def test_a_prize_can_be_a_coupon_that_costs_nothing(services: Services) -> None:
    await add_game(services, game(prizes=[prize(points=None, reward="coupon")]))
    await players(services, 1)
    played = await play_once(services)
    assert played.coupon is not None
    assert (played.coupon.points, played.coupon.state, played.credits) == (0, "issued", [])
    assert played.coupon.expires_at == NOON + 10 * DAY
    (listed,) = await read_coupons(services, ARCADE, "bf-0", state=None, before=None, limit=5)
    assert listed.code == played.coupon.code
    assert (await void_coupon(services, ARCADE, played.coupon.code, operator="test")).state == "void"


async def test_coupons_of_a_scarce_reward_are_taken_from_its_stock(services: Services) -> None:
    await add_game(services, game(prizes=[prize(points=None, reward="scarce")]))
    names = await players(services, 4)
    answers = [a for a in await try_play(services, names) if isinstance(a, GamePlayed)]
    assert [played.coupon is not None for played in answers] == [True, True, False, False]
    assert await rows(services.db, "SELECT issued FROM reward_stock") == [(2,)]
    stopped_clock(services).at = NOON + 10 * DAY
    found = await certificate(services)
    assert [play["cut"] for play in found["plays"]] == [None, None, "reward_sold_out", "reward_sold_out"]


async def test_stock_per_day_and_wins_of_a_member_cut_prizes(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "secrets", SimpleNamespace(token_bytes=bytes))  # A seed of zeros.
    limits = [prize("a", odds="1/2", stock=3), prize("b", odds="1/2", per_day=1)]
    await add_game(
        services,
        game(
            prizes=limits,
            wins_per_member={"count": 2, "window": "day"},
            chances={"count": 9, "window": "day"},
        ),
    )
    names = await players(services, 3)
    for _ in range(2):
        for _ in range(3):
            await try_play(services, [*names, *names])
        advance(services, DAY)
    stopped_clock(services).at = NOON + 10 * DAY
    plays = (await certificate(services))["plays"]
    assert len(plays) == 36
    won = Counter((play["prize"], play["day"]) for play in plays if play["prize"])
    assert sum(count for (prize_id, _), count in won.items() if prize_id == "a") == 3
    assert [count for (prize_id, _), count in won.items() if prize_id == "b"] == [1, 1]
    assert {play["cut"] for play in plays} >= {"stock", "per_day"}
    of_members = Counter((play["player"], play["day"]) for play in plays if play["prize"])
    assert max(of_members.values()) <= 2


async def test_two_hundred_plays_at_once_win_no_more_than_there_is(
    services: Services, other: Services
) -> None:
    await add_game(
        services, game(prizes=[prize(odds="1/2", stock=25)], chances={"count": 2, "window": "day"})
    )
    await other.definitions.refresh(other.db)
    names = await players(services, 50)
    batches = [[names[(n * 7 + m) % 50] for m in range(10)] for n in range(20)]
    answers = await asyncio.gather(
        *(try_play((services, other)[n % 2], batch) for n, batch in enumerate(batches))
    )
    played = [answer for batch in answers for answer in batch if isinstance(answer, GamePlayed)]
    assert sorted(p.number for p in played) == list(range(1, 101)), "numbered without gaps; two for each"
    assert {a.code for batch in answers for a in batch if isinstance(a, Refusal)} == {"no_chances_left"}
    assert sum(p.prize is not None for p in played) == 25
    assert await rows(services.db, "SELECT count(*), sum(points) FROM credits") == [(25, 250)]
    stopped_clock(services).at = NOON + 10 * DAY
    assert len((await certificate(services))["plays"]) == 100


async def test_a_batch_with_a_full_account_pays_the_others(services: Services) -> None:
    await add_game(services)
    names = await players(services, 3)
    full = "UPDATE balances SET pending = 1000000000000000 WHERE member_id = 'bf-1'"
    async with services.db.begin() as conn:
        await conn.exec_driver_sql(full)
    answers = await try_play(services, names)
    assert [a.code if isinstance(a, Refusal) else a.number for a in answers] == [1, "too_many_points", 2]
    async with services.db.begin() as conn:
        await conn.exec_driver_sql(full.replace("1000000000000000", "0"))


async def test_plays_of_merged_accounts_count_together(services: Services, other: Services) -> None:
    await add_game(services, game(wins_per_member={"count": 2, "window": "ever"}))
    await other.definitions.refresh(other.db)
    await players(services, 2)
    first, second = await play_once(services, "bf-0"), await play_once(services, "bf-1")
    await other.members.get(other.db, ARCADE, "bf-1")
    await merge_members(services, ARCADE, "bf-1", into="bf-0", reason="", operator="test")
    third = await play_once(other, "bf-1")  # A process that does not know of the merger yet.
    assert (third.player, third.player != second.player) == (first.player, True)
    assert (third.prize, third.chances_left) == (None, 0), "both have won once, and played"
    assert (await refused(services, "bf-0")).code == "no_chances_left"
    stopped_clock(services).at = NOON + 10 * DAY
    found = await certificate(services)
    assert found["mergers"] == [{"player": second.player, "into": first.player, "after": 2}]
    assert [play["cut"] for play in found["plays"]] == [None, None, "wins_per_member"]


async def test_an_erased_member_has_played_and_plays_no_more(services: Services, other: Services) -> None:
    await add_game(services)
    await other.definitions.refresh(other.db)
    await players(services, 2)
    await play_once(services)
    await other.members.get(other.db, ARCADE, "bf-0")
    await erase_member(services, ARCADE, "bf-0", operator="test")
    assert (await refused(other)).code == "unknown_member"
    assert (await play_once(services, "bf-1")).number == 2
    stopped_clock(services).at = NOON + 10 * DAY
    assert len((await certificate(services))["plays"]) == 2
    assert "bf-" not in str(await certificate(services))


async def test_what_began_under_a_version_goes_on_under_it(services: Services, other: Services) -> None:
    before = await add_game(services, game(**{"from": "2026-11-22T00:00:00", "until": "2026-11-23T00:00:00"}))
    await players(services, 1)
    await other.definitions.refresh(other.db)
    committed = await read_game(services, ARCADE, "bf-0", "wheel", "en")
    better = replace(before, prizes=[replace(before.prizes[0], points=20)])
    await change_definition(services, GAME, better, expected_version=1, operator="test")
    again = await read_game(services, ARCADE, "bf-0", "wheel", "en")
    assert committed.commitment != again.commitment, "what has not begun is committed again"
    stale = await read_game(other, ARCADE, "bf-0", "wheel", "en")
    assert stale.commitment == again.commitment, "a process that knows the first version commits nothing"
    stopped_clock(services).at = MIDNIGHT
    await commit_games(services, now=MIDNIGHT)
    best = replace(before, prizes=[replace(before.prizes[0], points=30)])
    await change_definition(services, GAME, best, expected_version=2, operator="test")
    assert (await play_once(services)).credits[0].points == 20
    stopped_clock(services).at = MIDNIGHT + 2 * DAY
    found = await certificate(services)
    assert found["commitment"] == again.commitment
    assert found["terms"]["version"] == "#2"


async def test_a_game_that_is_defined_again_after_its_end_has_a_run_of_its_own(services: Services) -> None:
    first = await add_game(services, game(prizes=[prize(stock=1)]))
    await players(services, 1)
    await play_once(services)
    stopped_clock(services).at = NOON + 10 * DAY
    assert (await certificate(services))["terms"]["run"] == 1
    later = {"from_": datetime(2026, 12, 1), "until": datetime(2026, 12, 9)}  # noqa: DTZ001  # Local.
    await change_definition(services, GAME, replace(first, **later), expected_version=1, operator="test")
    played = await play_once(services)
    assert (played.number, played.prize is not None) == (1, True), "its stock is whole"
    stopped_clock(services).at = NOON + 30 * DAY
    assert (await certificate(services))["terms"]["run"] == 2


async def test_the_seed_is_a_secret_until_the_end(services: Services) -> None:
    await add_game(services)
    await players(services, 1)
    played = await play_once(services)
    ((seed,),) = await rows(services.db, "SELECT encode(seed, 'hex') FROM game_runs")
    shown = [str(await list_games(services, ARCADE, "bf-0", "en")), str(played)]
    assert [text for text in shown if str(seed) in text] == []
    with pytest.raises(Refusal, match="not_found"):
        await certificate(services)
    # Until the last member's zone has come to the end.
    stopped_clock(services).at = datetime(2026, 11, 26, 23, 59, tzinfo=UTC)
    assert await reveal_due(services, now=services.clock.now()) == 0
    stopped_clock(services).at = datetime(2026, 11, 27, tzinfo=UTC)
    assert await reveal_due(services, now=services.clock.now()) == 1
    assert await reveal_due(services, now=services.clock.now()) == 0
    found = await certificate(services)
    assert found["seed"] == seed
    assert (found["plays"][0]["player"], found["head"]) == (played.player, played.receipt)


async def test_a_play_that_waits_for_the_end_is_refused(services: Services, other: Services) -> None:
    """The list of plays is whole when it is revealed: a play that was late is not added to it."""
    await add_game(services)
    await players(services, 2)
    await play_once(services)
    stopped_clock(services).at = datetime(2026, 11, 26, 23, 59, 59, tzinfo=UTC)
    async with other.db.begin() as conn:
        await conn.exec_driver_sql("SELECT FROM game_runs FOR UPDATE")
        late = asyncio.create_task(try_play(services, ["bf-1"]))
        await asyncio.sleep(0.2)  # It waits for the row.
        assert not late.done()
        await conn.exec_driver_sql("UPDATE game_runs SET revealed_at = ends_at")
    (answer,) = await late
    assert isinstance(answer, Refusal)
    assert answer.code == "not_found"
    async with other.db.begin() as conn:
        await conn.exec_driver_sql("UPDATE game_runs SET revealed_at = NULL")


async def test_outcomes_follow_from_the_seed_and_the_number(services: Services) -> None:
    added = await add_game(
        services, game(prizes=[prize(odds="1/3")], chances={"count": 100, "window": "day"})
    )
    await players(services, 1)
    ((seed,),) = await rows(services.db, "SELECT encode(seed, 'hex') FROM game_runs") or [(None,)]
    assert seed is None, "it is drawn with the commitment"
    answers = await try_play(services, ["bf-0"] * 60)
    ((seed,),) = await rows(services.db, "SELECT encode(seed, 'hex') FROM game_runs")
    expected = [draw(added, bytes.fromhex(str(seed)), number) for number in range(1, 61)]
    found = [answer.prize and answer.prize.id for answer in answers if isinstance(answer, GamePlayed)]
    assert found == [won and won.id for won in expected]


async def test_games_are_listed_in_the_members_language_while_they_are_open(services: Services) -> None:
    await add_game(services)
    await add_game(services, game("later", **{"from": "2026-11-25T00:00:00"}))
    await players(services, 1)
    await play_once(services)
    (listed,) = await list_games(services, ARCADE, "bf-0", "fr")
    assert (listed.id, listed.title, listed.chances_left) == ("wheel", "La roue", 2)
    assert (listed.opens_at, listed.closes_at) == (
        datetime(2026, 11, 20, tzinfo=UTC),
        datetime(2026, 11, 27, tzinfo=UTC),
    )
    later = await read_game(services, ARCADE, "bf-0", "later", "de")
    assert (later.state, later.title, len(later.commitment)) == ("announced", "Wheel", 64)


async def test_balances_show_what_was_won(services: Services) -> None:
    await add_game(services)
    names = await players(services, 2)
    await play(services, [PlayRequest(ARCADE, name, "wheel", "en") for name in [*names, names[0]]])
    found = await read_balances(services, [(ARCADE, name) for name in names])
    assert [balance.pending for balance in found.values()] == [20, 10]
