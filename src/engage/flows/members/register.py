"""Register members: check them against the program, store them, grant the credits for registering."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain import calendar
from engage.domain.activity import ONE_LINE, MemberId, Registration
from engage.domain.document.fields import Country, ProgramId
from engage.domain.earning.decide import decide
from engage.domain.earning.slots import Grant, wanted
from engage.domain.earning.terms import EarningTerms
from engage.domain.keys import MemberKey
from engage.domain.members.cards import CardNumber, InvalidCardNumber, stored_number
from engage.domain.members.definition import Eligibility
from engage.domain.members.eligibility import (
    Reason,
    check_birth_date,
    needs_person_ref,
    reasons_against,
)
from engage.domain.members.phone import InvalidPhoneNumber, Phone, is_mobile, normalized
from engage.domain.program.program import Program
from engage.domain.referrals.referral import Trait
from engage.domain.referrals.traits import Addresses, DeviceIds
from engage.domain.refusals import Code, Refusal, Unavailable
from engage.flows.activities.activity import CreditView, view_of
from engage.flows.referrals.claim import use_code
from engage.flows.referrals.terms import terms_for, traits_to_keep
from engage.ledger.accept import CreditToAccept
from engage.ledger.person_slots import take_person_slots
from engage.runtime.idempotency import Keyed, claim, keep
from engage.runtime.ids import new_id
from engage.runtime.posting import open_posting
from engage.runtime.services import Services
from engage.runtime.terms import Acting, terms_of
from engage.store.members.members import Member, NewMember, add_member
from engage.store.members.persons import person_hashes
from engage.store.referrals.traits import add_traits

ReferralCode = Annotated[
    str, Meta(min_length=1, max_length=64, pattern=ONE_LINE, description="1 to 64 characters on one line")
]


class MemberRegistration(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A person or company to register. Without `birth_date` the shop vouches for the age.

    `person_ref` is the shop's identifier of the person; only a keyed hash of it is stored. Capitals, blanks
    and Unicode forms do not matter. It is required where the program's rules say one account a person.

    Numbers may be written in any notation: phone numbers are stored in E.164, card numbers as capitals and
    digits. In some programs the phone number is also a card number.

    `referral_code` is that of the member who has invited them. `device_ids` and `addresses` are compared
    with those of that member, and are stored as keyed hashes only. Members with the same device share what
    campaigns grant for one device.
    """

    member_id: MemberId
    program: ProgramId
    country: Country
    birth_date: date | None = None
    kind: Literal["person", "company"] = "person"
    person_ref: Annotated[str, Meta(min_length=1, max_length=256)] | None = None
    phone: Phone | None = None
    card_numbers: Annotated[list[CardNumber], Meta(max_length=16)] = []
    referral_code: ReferralCode | None = None
    device_ids: DeviceIds = []
    addresses: Addresses = []


class UsedCode(Struct, frozen=True):
    """The state of the referral that a code of an invitation has led to, or why it has not."""

    state: Literal["pending", "flagged", "refused"]
    refusal: Refusal | None = None


class RegisteredMember(Struct, frozen=True):
    """A new member, with the credits granted for registering. `referral` is null without a code."""

    member_id: str
    program: str
    country: str
    joined_at: datetime
    credits: list[CreditView]
    referral: UsedCode | None = None


class Admission(Struct, frozen=True):
    """The version and zone that apply to a new member, and the row to store. `lacks_person`: the program
    wants to know the person, and there is no reference.
    """

    program: Program
    zone: str
    member: NewMember
    lacks_person: bool


async def register_member(
    services: Services,
    registration: MemberRegistration,
    *,
    keyed: Keyed[RegisteredMember] | None = None,
) -> RegisteredMember:
    """Store a new member and grant what the program gives for registering, in one transaction.

    Raises the refusals of `admit`, and Refusal person_ref_required, member_exists, member_erased,
    person_has_account, card_taken, request_in_flight; Unavailable.
    """
    now = services.clock.now()
    admission = admit(services, registration, now=now)
    if admission.lacks_person:
        raise Refusal(Code.PERSON_REF_REQUIRED)
    program, member = admission.program, admission.member
    async with open_posting(services, cause="pending") as posting:
        conn = posting.conn
        await claim(conn, keyed)
        await add_member(conn, member, now=now)
        referral = await _use_code(services, conn, member.key, registration, now=now)
        persons = [(member.key, hashed) for hashed in member.person_hashes]
        taken = await take_person_slots(conn, persons, now=now)
        joined = Member(member.program_id, member.member_id, member.country, now)
        acting = Acting(joined, program, admission.zone, "registration", now)
        (terms,) = await terms_of(services, conn, [acting], now=now)
        rows = _credits_of_joining(acting, terms, taken)
        if rows:
            await posting.accept(rows, now=now)
        paid = [row for row in rows if row.id not in posting.exhausted]
        views = [view_of(each) for row in paid for each in (row, *posting.boosted.get(row.id, ()))]
        registered = RegisteredMember(member.member_id, program.id, member.country, now, views, referral)
        await keep(conn, keyed, registered)
    services.members.add(joined)
    if not taken:
        await _add_to_gate(services, member.key, now=now)
    return registered


async def _use_code(
    services: Services,
    conn: AsyncConnection,
    key: MemberKey,
    registration: MemberRegistration,
    *,
    now: datetime,
) -> UsedCode | None:
    """Use the code of an invitation, if there is one. Whatever is wrong with it, the member joins.

    Raises Unavailable.
    """
    traits = traits_to_keep(services, key[0], _traits(registration))
    await add_traits(conn, key, traits, peppers=services.settings.peppers, now=now)
    typed = registration.referral_code
    if typed is None:
        return None
    friend = Member(*key, registration.country, now)
    try:
        in_force, _, terms = terms_for(services, friend, now=now)
        used = await use_code(services, conn, friend, in_force, terms, typed, now=now)
    except Unavailable:
        raise
    except Refusal as refusal:
        return UsedCode("refused", refusal)
    return UsedCode("flagged" if used.state == "flagged" else "pending")


def _traits(registration: MemberRegistration) -> Iterator[tuple[Trait, str]]:
    """The traits that the member's row does not have."""
    if registration.person_ref is not None:
        yield "person", registration.person_ref
    for device in registration.device_ids:
        yield "device", device
    for address in registration.addresses:
        yield "address", address


def _credits_of_joining(acting: Acting, terms: EarningTerms, taken: Collection[str]) -> list[CreditToAccept]:
    """Return what these terms give for registering. `taken` are the source keys of slots that the person
    used in an earlier account; a new member has used no other, so the first of each limit is free.
    """
    at, zone = acting.at, acting.zone
    slots = wanted(terms, Registration(), at=at, zone=zone)
    grants = [Grant(slot, 1) for slot in slots if slot.source_key(1) not in taken]
    credits = decide(terms, Registration(), at=at, zone=zone, grants=grants)
    return [CreditToAccept(*acting.member.key, new_id(), credit) for credit in credits]


def admit(services: Services, registration: MemberRegistration, *, now: datetime) -> Admission:
    """Check a registration against its program.

    Raises Refusal unknown_program, invalid_birth_date, not_eligible, invalid_phone, invalid_card.
    """
    versions = services.programs.get(registration.program)
    try:
        program, market = services.programs.in_force(
            registration.program, at=now, country=registration.country
        )
    except Refusal:
        # Not offered in this country. Name the other reasons too, by the newest version and UTC's date.
        today = now.astimezone(UTC).date()
        check_birth_date(registration.birth_date, today=today)
        reasons = _reasons(versions[-1].eligibility, registration, today=today)
        raise Refusal(Code.NOT_ELIGIBLE, reasons=["country", *reasons]) from None
    today = calendar.local_date(now, market.zone)
    check_birth_date(registration.birth_date, today=today)
    reasons = _reasons(program.eligibility, registration, today=today)
    if reasons:
        raise Refusal(Code.NOT_ELIGIBLE, reasons=reasons)
    member = _new_member(services, program, registration)
    needed = needs_person_ref(program.eligibility, registration.kind)
    return Admission(program, market.zone, member, lacks_person=needed and member.person_hash is None)


def stored_phone(program: Program, phone: str, *, country: str) -> str:
    """Return a phone number in E.164. Raises Refusal invalid_phone, also if it is to be a card number and is
    not a mobile number.
    """
    try:
        number = normalized(phone, country)
    except InvalidPhoneNumber:
        raise Refusal(Code.INVALID_PHONE) from None
    if program.cards.phone_is_card and not is_mobile(number):
        raise Refusal(Code.INVALID_PHONE)
    return number


def stored_cards(program: Program, written: Sequence[str], *, country: str) -> list[str]:
    """Return card numbers in their stored form. Raises Refusal invalid_card with those that are none."""
    stored: list[str] = []
    invalid: list[str] = []
    for number in written:
        try:
            stored.append(stored_number(program.cards, country, number))
        except InvalidCardNumber:
            invalid.append(number)
    if invalid:
        raise Refusal(Code.INVALID_CARD, card_numbers=invalid)
    return stored


def _reasons(rules: Eligibility, registration: MemberRegistration, *, today: date) -> list[Reason]:
    return reasons_against(rules, kind=registration.kind, birth_date=registration.birth_date, today=today)


def _new_member(services: Services, program: Program, registration: MemberRegistration) -> NewMember:
    """Raises Refusal invalid_phone, invalid_card."""
    country, phone = registration.country, None
    hashed, earlier = _person_hashes(services, program, registration)
    numbers = stored_cards(program, registration.card_numbers, country=country)
    if registration.phone is not None:
        phone = stored_phone(program, registration.phone, country=country)
        if program.cards.phone_is_card:
            numbers.insert(0, phone)
    return NewMember(
        program_id=program.id,
        member_id=registration.member_id,
        country=country,
        kind=registration.kind,
        birth_date=registration.birth_date,
        person_hash=hashed,
        earlier_hashes=earlier,
        phone=phone,
        referral_code=registration.referral_code,
        card_numbers=list(dict.fromkeys(numbers)),
    )


def _person_hashes(
    services: Services, program: Program, registration: MemberRegistration
) -> tuple[bytes | None, Sequence[bytes]]:
    if registration.person_ref is None or not program.eligibility.one_account_a_person:
        return None, ()
    return person_hashes(registration.person_ref, program_id=program.id, peppers=services.settings.peppers)


async def _add_to_gate(services: Services, key: MemberKey, *, now: datetime) -> None:
    """Load a member who has used no slot yet: it saves their first activity a query."""
    day, month = calendar.window("day", now, "UTC").period, calendar.window("month", now, "UTC").period
    with suppress(Unavailable):
        await services.gate.load([(*key, [])], day=day, month=month)
