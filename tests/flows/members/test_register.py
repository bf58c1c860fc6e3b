"""Registration and updates: eligibility, cards, phone numbers."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from engage import programs
from engage.domain.refusals import Refusal
from engage.flows.members.cards import members_of_cards
from engage.flows.members.register import MemberRegistration, RegisteredMember, register_member
from engage.flows.members.update import MemberUpdate, UpdatedMember, update_member
from engage.flows.programs.publish import publish
from engage.runtime.services import Services, open_services
from engage.settings import Settings
from engage.store.members.persons import person_hashes
from tests.support.clock import NOON, StoppedClock, advance, stopped_clock
from tests.support.database import rows

BY = "by-mi-bonus"
EU = "eu-mi-points"


@pytest.fixture
async def services(settings: Settings) -> AsyncIterator[Services]:
    async with open_services(settings, StoppedClock(NOON)) as opened:
        for preset in programs.presets().values():
            await publish(opened.db, preset, source="preset", operator="test", clock=opened.clock)
        await opened.programs.refresh(opened.db)
        yield opened


async def enrol(
    services: Services, member_id: str, program: str = BY, country: str = "BY", **changes: object
) -> RegisteredMember:
    registration = {"member_id": member_id, "program": program, "country": country} | changes
    if program == EU:
        registration.setdefault("person_ref", f"person {member_id}")
    return await register_member(services, MemberRegistration(**registration))  # type: ignore[arg-type]


async def refusal(
    services: Services, member_id: str, program: str = BY, country: str = "BY", **changes: object
) -> Refusal:
    with pytest.raises(Refusal) as caught:
        await enrol(services, member_id, program, country, **changes)
    return caught.value


async def owner(services: Services, card_number: str, program: str = BY) -> str | None:
    return (await members_of_cards(services, [(program, card_number)])).get((program, card_number))


async def change(services: Services, member_id: str, **changes: object) -> UpdatedMember:
    return await update_member(services, member_id, MemberUpdate(program=BY, **changes))  # type: ignore[arg-type]


async def test_a_mobile_number_is_a_card_beside_older_cards(services: Services) -> None:
    await enrol(services, "m-1", phone="+375 29 123-45-67", card_numbers=["2900 0000 1234"])
    for written in ["+375291234567", "80291234567", "8 (029) 123-45-67", "375 29 1234567", "290000001234"]:
        assert await owner(services, written) == "m-1", written
    assert await owner(services, "80297654321") is None
    taken = await refusal(services, "m-2", phone="80291234567")
    assert (taken.code, taken.facts) == ("card_taken", {"card_numbers": ["+375291234567"]})


async def test_a_landline_number_is_no_card(services: Services) -> None:
    for wrong in ["+375 17 222 33 44", "12345", "+375 29 1"]:
        assert (await refusal(services, "m-1", phone=wrong)).code == "invalid_phone"
    assert await rows(services.db, "SELECT 1 FROM members") == []


async def test_a_new_phone_number_replaces_the_old_one(services: Services) -> None:
    await enrol(services, "m-1", phone="+375291234567", card_numbers=["PLASTIC1"])
    advance(services, timedelta(days=1))
    changed = await change(services, "m-1", phone="8 029 765 43 21", card_numbers=["PLASTIC-2"])
    assert changed == UpdatedMember("m-1", BY, "+375297654321", ["+375297654321", "PLASTIC1", "PLASTIC2"])
    assert await owner(services, "80291234567") is None
    assert await rows(services.db, "SELECT phone_changed_at FROM members") == [(NOON + timedelta(days=1),)]
    # The next owner of the old number may register with it.
    await enrol(services, "m-2", phone="80291234567")
    assert await owner(services, "80291234567") == "m-2"


async def test_a_recycled_phone_number_is_free_for_its_new_owner(services: Services) -> None:
    await enrol(services, "m-1", phone="+375291234567", card_numbers=["PLASTIC1"])
    assert (await refusal(services, "m-2", phone="80291234567")).code == "card_taken"
    for _ in range(2):
        assert await change(services, "m-1", phone=None) == UpdatedMember("m-1", BY, None, ["PLASTIC1"])
    await enrol(services, "m-2", phone="80291234567")
    assert await owner(services, "80291234567") == "m-2"


async def test_a_lost_card_is_free_for_its_new_owner(services: Services) -> None:
    await enrol(services, "m-1", card_numbers=["PLASTIC1", "PLASTIC2"])
    await enrol(services, "m-2", card_numbers=["PLASTIC3"])
    for _ in range(2):
        # Of another member's card nothing is taken off.
        left = await change(services, "m-1", remove_card_numbers=["plastic\u20112", "PLASTIC3", "#"])
        assert left.card_numbers == ["PLASTIC1"]
    assert await owner(services, "PLASTIC3") == "m-2"
    await change(services, "m-2", card_numbers=["PLASTIC2"])
    assert await owner(services, "plastic 2") == "m-2"


async def test_a_phone_number_removed_as_a_card_is_no_longer_the_members(services: Services) -> None:
    await enrol(services, "m-1", phone="+375291234567", card_numbers=["PLASTIC1"])
    left = await change(services, "m-1", remove_card_numbers=["8 029 123.45.67"], card_numbers=["PLASTIC2"])
    assert left == UpdatedMember("m-1", BY, None, ["PLASTIC1", "PLASTIC2"])
    await enrol(services, "m-2", phone="80291234567")


async def test_numbers_are_known_however_they_are_written(services: Services) -> None:
    await enrol(
        services, "m-1", phone="8\u00a0029\u2011123.45/67\u200b", card_numbers=["\u200e2900\u20110000.1234"]
    )
    assert await rows(services.db, "SELECT phone FROM members") == [("+375291234567",)]
    for written in [
        "\u202a+375 29 123-45-67\u202c",
        "\u0668\u0660291234567",
        "2900/0000/1234",
        "290000001234\ufeff",
    ]:
        assert await owner(services, written) == "m-1", written
    for wrong in ["call me", "8029CALLME7", "\U0001f4de"]:
        assert (await refusal(services, "m-2", phone=wrong)).code == "invalid_phone"
    refused = await refusal(services, "m-2", card_numbers=["PLASTIC9", "#123", "----"])
    assert (refused.code, refused.facts) == ("invalid_card", {"card_numbers": ["#123", "----"]})


async def test_a_repeated_update_changes_nothing(services: Services) -> None:
    await enrol(services, "m-1", phone="+375291234567")
    for _ in range(2):
        assert (await change(services, "m-1", phone="80291234567", card_numbers=["A-123"])).card_numbers == [
            "+375291234567",
            "A123",
        ]
    assert await rows(services.db, "SELECT phone_changed_at FROM members") == [(None,)]


async def test_a_refused_update_changes_nothing(services: Services) -> None:
    await enrol(services, "m-1", phone="+375291234567")
    await enrol(services, "m-2", phone="+375297654321", card_numbers=["PLASTIC"])
    taken: list[dict[str, Any]] = [
        {"phone": "80297654321"},
        {"phone": "80441112233", "card_numbers": ["plastic"]},
    ]
    for changes in taken:
        with pytest.raises(Refusal, match="card_taken"):
            await change(services, "m-1", **changes)
    with pytest.raises(Refusal, match="invalid_phone"):
        await change(services, "m-1", phone="17")
    with pytest.raises(Refusal, match="unknown_member"):
        await change(services, "nobody", phone="80441112233")
    assert await owner(services, "80291234567") == "m-1"
    assert await rows(services.db, "SELECT phone_changed_at FROM members WHERE member_id = 'm-1'") == [
        (None,)
    ]


async def test_of_concurrent_registrations_one_gets_the_phone_number(services: Services) -> None:
    answers = await asyncio.gather(
        *(enrol(services, f"m-{n}", phone="+375291234567") for n in range(12)), return_exceptions=True
    )
    joined = [answer for answer in answers if isinstance(answer, RegisteredMember)]
    assert [answer.member_id for answer in joined] == [await owner(services, "80291234567")]
    assert {answer.code for answer in answers if isinstance(answer, Refusal)} == {"card_taken"}


async def test_a_person_gets_one_account_however_many_requests_arrive(
    settings: Settings, services: Services
) -> None:
    async with open_services(settings, services.clock) as other:
        await other.programs.refresh(other.db)
        answers = await asyncio.gather(
            *(
                enrol(process, f"m-{n}", EU, "ES", person_ref="DNI 1")
                for n in range(10)
                for process in (services, other)
            ),
            return_exceptions=True,
        )
    joined = [answer for answer in answers if isinstance(answer, RegisteredMember)]
    assert len(joined) == 1
    refused = {answer.code for answer in answers if isinstance(answer, Refusal)}
    assert refused <= {"person_has_account", "member_exists"}
    assert len(await rows(services.db, "SELECT 1 FROM credits WHERE rule_id = 'registration'")) == 1
    # Programs are separate.
    await enrol(services, "m-1", BY, "BY", person_ref="DNI 1")


async def test_a_person_is_one_however_the_reference_is_written(
    settings: Settings, services: Services
) -> None:
    spellings = ["DNI 12é", "dni12É", "dni 12E\u0301", "ＤＮＩ １２é", "DNI\u00a012é", "\u200bd n i 1 2 é"]
    async with open_services(settings, services.clock) as other:
        await other.programs.refresh(other.db)
        answers = await asyncio.gather(
            *(
                enrol(process, f"m-{n}-{m}", EU, "ES", person_ref=ref)
                for n, ref in enumerate(spellings)
                for m, process in enumerate((services, other))
            ),
            return_exceptions=True,
        )
    assert sum(isinstance(answer, RegisteredMember) for answer in answers) == 1
    assert {answer.code for answer in answers if isinstance(answer, Refusal)} == {"person_has_account"}


async def test_a_program_with_one_account_a_person_wants_to_know_the_person(services: Services) -> None:
    for missing in [None, " ", "\u200b"]:
        refused = await refusal(services, "m-1", EU, "ES", person_ref=missing)
        assert (refused.code, refused.status) == ("person_ref_required", 422)
    # Where a reference is optional, the shop vouches for the person.
    await enrol(services, "m-1", BY, "BY")
    assert (await refusal(services, "m-2", EU, "ES", kind="company", person_ref=None)).facts["reasons"] == [
        "company"
    ]


async def test_a_reference_stored_as_it_was_sent_is_still_the_persons(services: Services) -> None:
    await enrol(services, "m-1", EU, "ES", person_ref="DNI 1")
    async with services.db.begin() as conn:
        # As an earlier release stored it.
        _, (as_sent,) = person_hashes("DNI 1", program_id=EU, peppers=services.settings.peppers)
        await conn.execute(text("UPDATE members SET person_hash = :hashed"), {"hashed": as_sent})
    assert (await refusal(services, "m-2", EU, "ES", person_ref="DNI 1")).code == "person_has_account"


async def test_a_birth_date_is_possible(services: Services) -> None:
    for born in [date(1, 1, 1), date(1899, 12, 31), date(2026, 11, 22), date(9999, 12, 31)]:
        for program, country in [(EU, "ES"), (EU, "US"), ("bf-mi-points", "BF")]:
            refused = await refusal(services, "m-1", program, country, birth_date=born)
            assert (refused.code, refused.status) == ("invalid_birth_date", 422)
    await enrol(services, "m-1", "bf-mi-points", "BF", birth_date=date(2026, 11, 21))
    await enrol(services, "m-1", EU, "ES", birth_date=date(1900, 1, 1))


async def test_age_counts_by_the_date_in_the_members_zone(services: Services) -> None:
    # 23:30 on the 20th in London is 00:30 on the 21st in Madrid.
    stopped_clock(services).at = datetime(2026, 11, 20, 23, 30, tzinfo=UTC)
    born = date(2008, 11, 21)
    assert (await refusal(services, "m-1", EU, "GB", birth_date=born)).facts == {"reasons": ["under_age"]}
    await enrol(services, "m-1", EU, "ES", birth_date=born)


async def test_a_refused_registration_names_all_reasons(services: Services) -> None:
    child = {"birth_date": date(2020, 1, 1), "kind": "company"}
    assert (await refusal(services, "m-1", EU, "US", **child)).facts["reasons"] == [
        "country",
        "under_age",
        "company",
    ]
    assert (await refusal(services, "m-1", BY, "BY", kind="company")).facts["reasons"] == ["company"]
    # The program in Burkina Faso has no such rules.
    await enrol(services, "m-1", "bf-mi-points", "BF", **child)


async def test_devices_are_kept_as_hashes_for_the_budgets_of_campaigns(services: Services) -> None:
    await enrol(services, "m-1", device_ids=["Phone-1"], addresses=["Lenina 1, Minsk"])
    await enrol(services, "m-2", device_ids=["phone-1 "])
    await change(services, "m-2", device_ids=["tablet"])
    kept = "SELECT member_id, kind, count(*), sum(CAST(hash LIKE '%phone%'::bytea AS int)) FROM member_traits"
    assert await rows(services.db, f"{kept} GROUP BY 1, 2 ORDER BY 1") == [
        ("m-1", "device", 1, 0),
        ("m-2", "device", 2, 0),
    ]
    assert await rows(services.db, "SELECT count(DISTINCT hash) FROM member_traits") == [(2,)]
