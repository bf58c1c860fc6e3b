"""Members enter a draw once, while it is open, with a post that fulfils its conditions."""

import asyncio
from datetime import datetime, timedelta
from hashlib import sha256

import pytest
from msgspec.structs import replace

from engage.domain.draws.definition import Draw, Post
from engage.domain.draws.kind import DRAW
from engage.domain.refusals import Code, Refusal
from engage.flows.definitions.change import add_definition, change_definition
from engage.flows.draws import enter as entering
from engage.flows.draws.enter import DrawEntry, EntryRequest, enter
from engage.flows.draws.reads import list_draws
from engage.runtime.services import Services
from tests.support.clock import NOON, stopped_clock
from tests.support.database import rows
from tests.support.draws import (
    CLOSES_AT,
    POST,
    PROGRAM,
    entered,
    join,
    refused,
    shown,
    try_to_enter,
)


def at(services: Services, time: datetime) -> None:
    stopped_clock(services).at = time


async def test_entries_are_numbered_and_their_digest_is_the_members_to_check(services: Services) -> None:
    await join(services, "m-1", "m-2")
    assert (await entered(services)).number == 1
    entry = await entered(services, "m-2")
    text = '{"draw_id":"plain","member_id":"m-2","number":2,"program":"lottery","salt":"' + entry.salt + '"}'
    assert entry.hash == sha256(text.encode()).hexdigest()
    assert len(bytes.fromhex(entry.salt)) == 32
    draw = await shown(services, "m-2")
    assert (draw.entries, draw.my_number, draw.my_entry) == (2, 2, entry)
    assert (draw.state, draw.root, draw.round, draw.winners) == ("open", None, None, None)
    assert (await shown(services, "m-1")).my_number == 1


async def test_a_member_enters_once(services: Services, other: Services) -> None:
    await join(services, "m-1")
    answers = await asyncio.gather(
        *(try_to_enter(process) for process in (services, other) for _ in range(10))
    )
    numbers = [answer.number for answer in answers if isinstance(answer, DrawEntry)]
    refusals = {(str(answer), answer.facts["number"]) for answer in answers if isinstance(answer, Refusal)}
    assert numbers == [1]
    assert refusals == {("already_entered", 1)}


async def test_entries_of_many_at_once_get_each_number_once(services: Services, other: Services) -> None:
    members = [f"m-{n}" for n in range(40)]
    await join(services, *members)
    batches = [[EntryRequest(PROGRAM, member, "plain") for member in members[n::4]] for n in range(4)]
    answers = await asyncio.gather(
        *(enter(process, batch) for process, batch in zip((services, other) * 2, batches, strict=True))
    )
    numbers = [answer.number for batch in answers for answer in batch if isinstance(answer, DrawEntry)]
    assert sorted(numbers) == list(range(1, 41))


async def test_a_draw_is_unknown_before_it_opens_and_gone_when_it_closes(services: Services) -> None:
    await join(services, "m-1", "m-2")
    at(services, datetime.fromisoformat("2026-11-21T10:59:59Z"))
    assert (await refused(services)).code == Code.NOT_FOUND
    with pytest.raises(Refusal) as caught:
        await shown(services)
    assert caught.value.code == Code.NOT_FOUND
    at(services, CLOSES_AT - timedelta(microseconds=1))
    await entered(services)
    at(services, CLOSES_AT)
    closed = await refused(services, "m-2")
    assert (closed.code, closed.facts["closes_at"]) == (Code.DRAW_CLOSED, CLOSES_AT)
    # Nobody has entered this one.
    assert (await refused(services, "m-2", "rewardmi", POST)).code == Code.DRAW_CLOSED


@pytest.mark.parametrize("draw_id", ["unknown", "", "pl\0ain", "x" * 5000, "../plain"])
async def test_another_id_is_no_draw(services: Services, draw_id: str) -> None:
    await join(services, "m-1")
    assert (await refused(services, draw_id=draw_id)).code == Code.NOT_FOUND


async def test_a_stranger_cannot_enter(services: Services) -> None:
    assert (await refused(services, "stranger")).code == Code.UNKNOWN_MEMBER


async def test_local_times_open_in_each_zone_and_close_in_the_last_one(services: Services) -> None:
    await join(services, "es")
    await join(services, "pt", country="PT")
    at(services, datetime.fromisoformat("2026-11-21T23:30:00Z"))  # It is Sunday in Madrid, not in Lisbon.
    await entered(services, "es", "later")
    assert (await refused(services, "pt", "later")).code == Code.NOT_FOUND
    at(services, datetime.fromisoformat("2026-11-22T23:59:59Z"))
    await entered(services, "pt", "later")
    assert (await shown(services, "es", "later")).closes_at == datetime.fromisoformat("2026-11-23T00:00:00Z")


REJECTED = [
    ("no post", None, ["hashtag", "mentions", "visibility"]),
    ("fulfilled", POST, []),
    ("another case", replace(POST, text=POST.text.replace("#rewardmi", "#REWARDMI")), []),
    ("another hashtag", replace(POST, text=POST.text.replace("#rewardmi", "#rewardmi2")), ["hashtag"]),
    ("no hashtag but its word", replace(POST, text=POST.text.replace("#", "")), ["hashtag"]),
    ("a mention twice", replace(POST, text="#rewardmi @ana @Ana @bo"), ["mentions"]),
    ("an address is no mention", replace(POST, text="#rewardmi @ana @bo x@cem.example"), ["mentions"]),
    ("for friends", replace(POST, visibility="friends"), ["visibility"]),
    ("private and nothing else", Post(text="", visibility="private"), ["hashtag", "mentions", "visibility"]),
    ("in another script", replace(POST, text="#rewardmi, @анна,@bo;(@cem)"), []),
]


@pytest.mark.parametrize(
    ("post", "failed"), [case[1:] for case in REJECTED], ids=[case[0] for case in REJECTED]
)
async def test_a_post_is_checked_against_the_conditions(
    services: Services, post: Post | None, failed: list[str]
) -> None:
    await join(services, "m-1")
    answer = await try_to_enter(services, "m-1", "rewardmi", post)
    if failed:
        assert isinstance(answer, Refusal)
        assert (answer.code, answer.facts) == (Code.ENTRY_REJECTED, {"failed": failed})
        assert isinstance(await try_to_enter(services, "m-1", "rewardmi", POST), DrawEntry), (
            "nothing was used"
        )
    else:
        assert isinstance(answer, DrawEntry)


async def test_a_post_is_stored_as_it_was_sent(services: Services) -> None:
    await join(services, "m-1")
    await entered(services, "m-1", "rewardmi", POST)
    ((post,),) = await rows(services.db, "SELECT post FROM draw_entries")
    assert post == {"text": POST.text, "visibility": "public", "url": POST.url}


async def test_a_draw_takes_no_more_entries_than_a_certificate_can_list(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entering, "MOST_ENTRIES", 1)
    await join(services, "m-1", "m-2")
    await entered(services)
    full = await refused(services, "m-2")
    assert (full.code, full.facts) == (Code.DRAW_FULL, {"limit": 1})


def added(**other: object) -> Draw:
    return replace(
        Draw(
            id="Spring-1",
            program=PROGRAM,
            title={"en": "Spring"},
            opens_at=NOON,
            closes_at=CLOSES_AT,
            winners=1,
            points=50,
        ),
        **other,
    )


async def test_a_draw_goes_on_under_the_version_that_it_began_under(services: Services) -> None:
    await join(services, "m-1", "m-2", "m-3")
    await add_definition(services, DRAW, added(), operator="key-1")
    assert (await shown(services, draw_id="Spring-1")).points == 50
    changed = added(points=70, closes_at=CLOSES_AT + timedelta(hours=1))
    await change_definition(services, DRAW, changed, expected_version=1, operator="key-1")
    assert (await shown(services, draw_id="Spring-1")).points == 70, "nobody has entered yet"
    await entered(services, "m-1", "Spring-1")
    again = added(points=1, closes_at=CLOSES_AT + timedelta(days=9))
    await change_definition(services, DRAW, again, expected_version=2, operator="key-1")
    draw = await shown(services, draw_id="Spring-1")
    assert (draw.points, draw.closes_at) == (70, CLOSES_AT + timedelta(hours=1))
    await entered(services, "m-2", "Spring-1")
    at(services, CLOSES_AT + timedelta(hours=1))
    assert (await refused(services, "m-3", "Spring-1")).code == Code.DRAW_CLOSED


async def test_open_draws_are_listed_with_ones_own_number(services: Services) -> None:
    await join(services, "m-1", "m-2")
    await entered(services, "m-2")
    await entered(services, "m-1")
    mine = await list_draws(services, PROGRAM, "m-1", language="fr-BE")
    assert [(draw.id, draw.title, draw.entries, draw.my_number) for draw in mine] == [
        ("plain", "Un simple tirage", 2, 2),
        ("rewardmi", "#rewardmi", 0, None),
    ]
    at(services, CLOSES_AT)
    assert await list_draws(services, PROGRAM, "m-1", language="en") == []
