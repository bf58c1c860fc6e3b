"""The pepper is rotated: who was known by the old one is known, and new hashes are made with the new one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pyotp
import pytest
from msgspec.structs import replace

from engage.domain.refusals import Refusal
from engage.flows.members.import_file import check_file
from engage.flows.members.import_members import import_members
from engage.flows.members.register import MemberRegistration, register_member
from engage.flows.operators import second_factor
from engage.flows.operators.accounts import create_operator
from engage.flows.operators.sign_in import NotSignedIn, sign_in
from engage.logs.pseudonyms import Pseudonyms
from engage.runtime.database import transaction
from engage.runtime.services import Services, open_services
from engage.settings import Settings
from engage.store.members.persons import person_hashes
from engage.store.operators import operators
from engage.store.referrals.traits import shared_traits
from tests.support.activities import FIRST, PROGRAM
from tests.support.clock import NOON, StoppedClock
from tests.support.database import rows
from tests.support.programs import services_with
from tests.support.rotation import write_secret

OLD, NEW = "an-old-pepper-of-enough-letters", "a-new-pepper-of-enough-letters"


class Rotating:
    """Services whose pepper is in a file."""

    def __init__(self, services: Services, path: Path) -> None:
        self.services = services
        self._path = path

    async def rotate(self, *peppers: str) -> None:
        write_secret(self._path, *peppers)
        await self.services.live.refresh()

    async def join(self, member_id: str, person: str, **rest: object) -> None:
        registration = {"program": PROGRAM, "country": "ES", "person_ref": person} | rest
        await register_member(
            self.services,
            MemberRegistration(member_id=member_id, **registration),  # type: ignore[arg-type]
        )

    async def is_refused(self, member_id: str, person: str) -> bool:
        with pytest.raises(Refusal) as refused:
            await self.join(member_id, person)
        return refused.value.code == "person_has_account"

    async def hash_of(self, member_id: str) -> object:
        ((hashed,),) = await rows(
            self.services.db, "SELECT person_hash FROM members WHERE member_id = :id", id=member_id
        )
        return hashed


def with_file(settings: Settings, path: Path, *peppers: str) -> Settings:
    write_secret(path, *peppers)
    return replace(settings, pepper="\n".join(peppers), secret_files={"pepper": path})


def hash_with(pepper: str, person: str) -> bytes | None:
    return person_hashes(person, program_id=PROGRAM, peppers=[pepper])[0]


@pytest.fixture
async def rotating(settings: Settings, tmp_path: Path) -> AsyncIterator[Rotating]:
    path = tmp_path / "pepper"
    async with services_with(with_file(settings, path, OLD), FIRST) as services:
        yield Rotating(services, path)


async def test_a_person_is_known_by_the_pepper_of_before(rotating: Rotating) -> None:
    await rotating.join("m-1", "ana")
    await rotating.rotate(OLD, NEW)
    assert await rotating.is_refused("m-2", "ana")
    await rotating.join("m-3", "bea")
    await rotating.rotate(NEW, OLD)
    assert await rotating.is_refused("m-2", "ana")
    await rotating.join("m-4", "carla")
    assert [await rotating.hash_of(f"m-{n}") for n in (1, 3, 4)] == [
        hash_with(OLD, "ana"),
        hash_with(OLD, "bea"),
        hash_with(NEW, "carla"),
    ]
    await rotating.rotate(NEW)
    assert await rotating.is_refused("m-5", "carla")
    await rotating.join("m-2", "ana")  # Forgotten with the old pepper, as the operator has decided.


async def test_a_person_joins_once_while_processes_differ_in_the_first_pepper(
    rotating: Rotating, settings: Settings, tmp_path: Path
) -> None:
    await rotating.rotate(OLD, NEW)
    async with AsyncExitStack() as stack:
        ahead = with_file(settings, tmp_path / "ahead", NEW, OLD)
        other = Rotating(
            await stack.enter_async_context(open_services(ahead, StoppedClock(NOON))), tmp_path / "ahead"
        )
        await other.services.programs.refresh(other.services.db)
        people = [f"person {n}" for n in range(8)]
        attempts = [
            process.join(f"{name} of {person}", person)
            for person in people
            for name, process in (("one", rotating), ("other", other))
        ]
        outcomes = await asyncio.gather(*attempts, return_exceptions=True)
    assert [getattr(each, "code", None) for each in outcomes if each is not None] == [
        "person_has_account"
    ] * len(people)


async def test_a_file_with_the_references_gives_members_the_new_hash(
    rotating: Rotating, tmp_path: Path
) -> None:
    await rotating.join("m-1", "ana")
    await rotating.rotate(NEW, OLD)
    file = tmp_path / "members.csv"
    file.write_text("member_id,country,birth_date,kind,person_ref\nm-1,ES,,,ana\n")
    await import_members(
        rotating.services,
        check_file(file),
        program_id=PROGRAM,
        name="again",
        on_rejected=lambda _: None,
        on_progress=lambda _: None,
    )
    assert await rotating.hash_of("m-1") == hash_with(NEW, "ana")
    await rotating.rotate(NEW)
    assert await rotating.is_refused("m-2", "ana")


async def test_a_device_is_the_same_one_after_the_rotation(rotating: Rotating) -> None:
    await rotating.join("m-1", "ana", device_ids=["phone-1"], addresses=["Calle 1"])
    await rotating.rotate(NEW, OLD)
    await rotating.join("m-2", "bea", device_ids=["phone-1"])
    await rotating.rotate(NEW)
    await rotating.join("m-3", "carla", device_ids=["phone-1"])
    peppers = rotating.services.settings.peppers
    async with transaction(rotating.services.db) as conn:
        for pair in (["m-1", "m-2"], ["m-2", "m-3"]):
            assert await shared_traits(conn, PROGRAM, pair, peppers=peppers) == {"device"}


async def test_a_second_factor_outlives_the_pepper_that_encrypted_it(rotating: Rotating) -> None:
    services, email, secret = rotating.services, "ana@shop.example", second_factor.new_secret()
    password = await create_operator(services.db, email, "finance", None, by="test")
    assert isinstance(password, str)
    async with transaction(services.db) as conn:
        operator = await operators.lock(conn, email)
        assert operator is not None
        stored = second_factor.encrypted(services.settings, secret)
        await operators.change(conn, operator.id, totp_secret=stored, totp_step=None)

    async def signs_in(steps: int) -> bool:
        at = services.clock.wall().timestamp() + steps * second_factor.STEP_S
        code = pyotp.TOTP(secret).at(int(at))
        return not isinstance(await sign_in(services, email, password, code), NotSignedIn)

    await rotating.rotate(NEW, OLD)
    assert await signs_in(-1)  # Now it is encrypted anew.
    await rotating.rotate(NEW)
    assert await signs_in(0)
    await rotating.rotate(OLD)
    assert not await signs_in(1)


async def test_networks_and_pseudonyms_follow(rotating: Rotating) -> None:
    origins = rotating.services.origins
    before = origins.network("203.0.113.9", [])
    await rotating.rotate(NEW, OLD)
    after = origins.network("203.0.113.9", [])
    assert before != after == origins.network("203.0.113.200", [])
    pseudonyms = Pseudonyms(OLD)
    pseudonyms.take(NEW)
    assert pseudonyms.of("p", "m") == Pseudonyms(NEW).of("p", "m") != Pseudonyms(OLD).of("p", "m")
