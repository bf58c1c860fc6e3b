"""Points that wait for the shop's word: due when it comes, in any order, and lost when it does not."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from engage.domain.refusals import Refusal
from engage.flows.activities.activity import RecordedActivity
from engage.flows.activities.record import record
from engage.flows.members.erase import erase_member
from engage.flows.members.merge import merge_members
from engage.flows.reads.home import read_home
from engage.flows.reads.statement import read_credits
from engage.flows.scheduled.due_work import run_due_work
from engage.flows.shop.events import AnyEvent
from engage.flows.shop.take_events import take_events
from engage.ledger.credits import Credit
from engage.runtime.services import Services
from engage.settings import Settings
from tests.support.activities import (
    FIRST,
    PROGRAM,
    act,
    join,
    link,
    perform,
    review,
    review_published,
    review_removed,
    share_confirmed,
    social,
)
from tests.support.audit import assert_audit_is_clean
from tests.support.clock import DAY, NOON, advance
from tests.support.database import rows
from tests.support.programs import IN_FIVE_MINUTES, services_with

HOUR = timedelta(hours=1)


def waiting(document: str) -> str:
    """Reviews wait for seven days and are due at once; shares on networks for two, and an hour longer."""
    head, review_rule = document.rsplit('id = "review"', 1)
    review_rule = review_rule.replace(IN_FIVE_MINUTES, 'type = "on_confirmation", within = "P7D"', 1)
    return f'{head}id = "review"{review_rule}'.replace(
        'type = "after", delay = "PT1H"', 'type = "on_confirmation", within = "P2D", delay = "PT1H"'
    )


@pytest.fixture
async def services(settings: Settings) -> AsyncIterator[Services]:
    async with services_with(settings, waiting(FIRST)) as opened:
        await join(opened)
        await run_due_work(opened, now=advance(opened, HOUR))
        yield opened
        await assert_audit_is_clean(opened)


async def send(services: Services, *events: AnyEvent) -> None:
    taken = await take_events(services, events)
    assert (taken.accepted, taken.refused) == (len(events), {})


async def credit_of(services: Services, rule: str, member_id: str = "m-1") -> Credit:
    credits = await read_credits(services, PROGRAM, member_id, state=None, before=None, limit=50)
    return next(credit for credit in credits if credit.rule == rule)


async def test_a_confirmation_counts_where_the_merger_is_not_known_yet(
    services: Services, other: Services
) -> None:
    await join(services, "m-2")
    await perform(other, review())
    await merge_members(services, PROGRAM, "m-1", into="m-2", reason="one person", operator="key-1")
    await send(other, review_published(other, "r-1"), review_published(other, "r-2"))
    assert (await credit_of(services, "review", "m-2")).due_at == services.clock.now()
    await perform(services, review("other", "r-2"), "m-2")
    assert await rows(services.db, "SELECT member_id FROM confirmations") == [("m-2",)] * 2


async def test_nothing_is_kept_of_events_about_members_not_yet_known_to_be_erased(
    services: Services, other: Services
) -> None:
    await perform(other, review())
    await erase_member(services, PROGRAM, "m-1", operator="key-1")
    events: list[AnyEvent] = [
        review_published(other, "r-1"),
        review_removed(other, "r-1"),
        review_removed(other, "r-2"),
    ]
    taken = await take_events(other, events)
    assert [refusal.code for refusal in taken.refused.values()] == ["unknown_member"] * 3
    assert await rows(services.db, "SELECT reference FROM confirmations") == []
    assert await rows(services.db, "SELECT reference FROM credits WHERE reference IS NOT NULL") == []


async def test_a_review_waits_without_a_due_time_and_the_member_sees_until_when(services: Services) -> None:
    until = services.clock.now() + 7 * DAY
    (credit,) = (await perform(services, review())).credits
    assert (credit.state, credit.due_at, credit.lapses_at) == ("pending", None, until)
    home = await read_home(services, PROGRAM, "m-1")
    assert home.balance.pending == 20
    assert [(w.points, w.lapses_at) for w in home.waiting] == [(20, until)]
    shown = await credit_of(services, "review")
    assert (shown.waits_for, shown.lapses_at, shown.due_at) == ("confirmation", until, None)


async def test_a_confirmed_review_is_due_at_once(services: Services) -> None:
    await perform(services, review())
    at = advance(services, DAY)
    await send(services, review_published(services, "r-1"))
    shown = await credit_of(services, "review")
    assert (shown.waits_for, shown.due_at) == (None, at)
    assert (await read_home(services, PROGRAM, "m-1")).waiting == []
    await run_due_work(services, now=at)
    assert (await credit_of(services, "review")).state == "active"
    await run_due_work(services, now=advance(services, 10 * DAY))
    assert (await credit_of(services, "review")).state == "active", "it does not lapse any more"


async def test_a_confirmed_share_is_due_after_its_delay(services: Services) -> None:
    await perform(services, social("s-1"))
    at = advance(services, HOUR)
    await send(services, share_confirmed(services, "s-1"))
    assert (await credit_of(services, "share_social")).due_at == at + HOUR
    await run_due_work(services, now=at)
    assert (await credit_of(services, "share_social")).state == "pending"
    await run_due_work(services, now=advance(services, HOUR))
    assert (await credit_of(services, "share_social")).state == "active"


async def test_a_confirmation_may_come_before_its_activity(services: Services) -> None:
    await send(services, review_published(services, "r-1"))
    at = advance(services, HOUR)
    (credit,) = (await perform(services, review())).credits
    assert (credit.due_at, credit.lapses_at) == (at, None)
    await run_due_work(services, now=at)
    assert (await credit_of(services, "review")).state == "active"


async def test_without_a_confirmation_the_points_lapse_and_the_member_sees_why(services: Services) -> None:
    await perform(services, review())
    await run_due_work(services, now=advance(services, 7 * DAY - timedelta(seconds=1)))
    assert (await credit_of(services, "review")).state == "pending"
    await run_due_work(services, now=advance(services, timedelta(seconds=1)))
    shown = await credit_of(services, "review")
    assert (shown.state, shown.points, shown.taken_back, shown.waits_for) == ("reversed", 20, 20, None)
    assert shown.why["trace"][-1] == ["lapsed", {}]
    home = await read_home(services, PROGRAM, "m-1")
    assert (home.balance.pending, home.waiting) == (0, [])
    await send(services, review_published(services, "r-1"))
    assert (await credit_of(services, "review")).state == "reversed", "too late"
    (again,) = await record(services, [act(services, review("band", "r-2"))])
    assert isinstance(again, Refusal), "the place stays used"


async def test_a_confirmation_of_after_the_time_changes_nothing(services: Services) -> None:
    """The worker was late: the time of the event decides, not that of the sweep."""
    await perform(services, review())
    advance(services, 7 * DAY + HOUR)
    await send(services, review_published(services, "r-1"))
    await run_due_work(services, now=services.clock.now())
    assert (await credit_of(services, "review")).state == "reversed"


async def test_repeated_confirmations_count_once_and_the_earliest(services: Services) -> None:
    await perform(services, social("s-1"))
    at = advance(services, HOUR)
    await send(services, share_confirmed(services, "s-1"), share_confirmed(services, "s-1", at=at - HOUR / 2))
    assert (await credit_of(services, "share_social")).due_at == at + HOUR / 2
    advance(services, HOUR / 4)
    await send(services, share_confirmed(services, "s-1"))
    assert (await credit_of(services, "share_social")).due_at == at + HOUR / 2


@pytest.mark.parametrize("removed_first", [False, True])
async def test_a_removed_review_earns_nothing_whenever_it_is_confirmed(
    services: Services, removed_first: bool
) -> None:
    await perform(services, review())
    events: list[AnyEvent] = [review_published(services, "r-1"), review_removed(services, "r-1")]
    for event in reversed(events) if removed_first else events:
        await send(services, event)
        await run_due_work(services, now=advance(services, HOUR))
    assert (await credit_of(services, "review")).state == "reversed"
    assert (await read_home(services, PROGRAM, "m-1")).balance.active == 50


async def test_a_removal_before_the_activity_stays_stronger_than_its_confirmation(services: Services) -> None:
    await send(services, review_removed(services, "r-1"), review_published(services, "r-1"))
    (answer,) = await record(services, [act(services, review())])
    assert isinstance(answer, Refusal)


async def test_an_activity_and_its_confirmation_at_once_always_meet(services: Services) -> None:
    await asyncio.gather(
        *(record(services, [act(services, review(f"p-{n}", f"r-{n}"))]) for n in range(30)),
        *(take_events(services, [review_published(services, f"r-{n}")]) for n in range(30)),
    )
    found = await rows(services.db, "SELECT count(*), count(due_at) FROM credits WHERE rule_id = 'review'")
    assert found == [(30, 30)]


async def test_a_share_without_an_id_cannot_be_confirmed_and_is_refused(services: Services) -> None:
    (refused,) = await record(services, [act(services, social())])
    assert isinstance(refused, Refusal)
    assert (refused.code, refused.status) == ("share_id_missing", 422)
    (recorded,) = await record(services, [act(services, link())])
    assert isinstance(recorded, RecordedActivity), "rules about links do not wait"


async def test_a_merger_brings_a_confirmation_and_its_activity_together(services: Services) -> None:
    await join(services, "m-2")
    await perform(services, review(), "m-1")
    await perform(services, review("watch", "r-2"), "m-2")
    await send(services, review_published(services, "r-1", "m-2"), review_published(services, "r-2", "m-1"))
    await merge_members(services, PROGRAM, "m-2", into="m-1", reason="one", operator="key-1")
    at = advance(services, HOUR)
    await run_due_work(services, now=at)
    found = await rows(
        services.db,
        "SELECT reference, state FROM credits WHERE rule_id = 'review' AND member_id = 'm-1' ORDER BY 1",
    )
    assert found == [("review:r-1", "active"), ("review:r-2", "active")]


async def test_a_merged_members_waiting_points_still_lapse(services: Services) -> None:
    await join(services, "m-2")
    await perform(services, review(), "m-2")
    await merge_members(services, PROGRAM, "m-2", into="m-1", reason="one", operator="key-1")
    await run_due_work(services, now=advance(services, 7 * DAY))
    assert (await credit_of(services, "review")).state == "reversed"


async def test_an_erasure_forgets_confirmations(services: Services) -> None:
    await send(services, review_published(services, "SECRET"))
    await perform(services, review())
    await erase_member(services, PROGRAM, "m-1", operator="key-1")
    assert await rows(services.db, "SELECT * FROM confirmations") == []
    assert services.clock.now() == NOON + HOUR
