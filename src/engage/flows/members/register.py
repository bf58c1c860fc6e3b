"""A member joins: checked against the program's rules, kept, and paid for registering, in one transaction."""

from datetime import UTC, date, datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

from engage.domain import calendar
from engage.domain.activity import ONE_LINE, MemberId, Registration
from engage.domain.document.fields import Country, ProgramId
from engage.domain.earning.decide import decide
from engage.domain.earning.slots import Grant, wanted
from engage.domain.members.cards import stored_number
from engage.domain.members.definition import Eligibility
from engage.domain.members.eligibility import reasons_against
from engage.domain.members.phone import NotAPhoneNumber, is_mobile, normalized
from engage.domain.program.program import Program
from engage.domain.refusals import Code, Refusal, Unavailable
from engage.flows.activities.activity import CreditView
from engage.ledger.accept import CreditToAccept
from engage.runtime.ids import new_id
from engage.runtime.posting import open_posting
from engage.runtime.services import Services
from engage.store.members.members import Member, NewMember, add_member, person_hash

# Patterns rule out the newline that a $ alone lets through at the end.
CardNumber = Annotated[str, Meta(min_length=4, max_length=32, pattern=r"^[0-9A-Za-z+() -]+(?!\n)$")]
Phone = Annotated[str, Meta(min_length=4, max_length=32, pattern=r"^\+?[0-9 ()-]+(?!\n)$")]


class MemberRegistration(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A person or company to register. Without `birth_date` the shop vouches for the age.

    `person_ref` is the shop's identifier of the person; only a keyed hash of it is stored. Numbers may be
    formatted freely: phone numbers are stored in E.164, card numbers without spaces and hyphens. In some
    programs the phone number is also a card number.
    """

    member_id: MemberId
    program: ProgramId
    country: Country
    birth_date: date | None = None
    kind: Literal["person", "company"] = "person"
    person_ref: Annotated[str, Meta(min_length=1, max_length=256)] | None = None
    phone: Phone | None = None
    card_numbers: Annotated[list[CardNumber], Meta(max_length=16)] = []
    referral_code: Annotated[str, Meta(min_length=1, max_length=64, pattern=ONE_LINE)] | None = None


class RegisteredMember(Struct, frozen=True):
    """A new member, with the credits granted for registering."""

    member_id: str
    program: str
    country: str
    joined_at: datetime
    credits: list[CreditView]


async def register_member(services: Services, registration: MemberRegistration) -> RegisteredMember:
    """Raises Refusal unknown_program, not_eligible, invalid_phone, member_exists, member_erased,
    person_has_account or card_taken.
    """
    now = services.clock.now()
    program, zone = offered(services, registration, now)
    check_eligible(program.eligibility, registration, today=calendar.local_date(now, zone))
    member = new_member(services, program, registration)
    slots = wanted(program.earning, Registration(), at=now, zone=zone)
    # Whoever joins has used no place of any limit yet, so the first one is free without asking.
    grants = [Grant(slot, 1) for slot in slots]
    credits = decide(program.earning, Registration(), at=now, zone=zone, grants=grants)
    rows = [CreditToAccept(program.id, registration.member_id, new_id(), credit) for credit in credits]
    async with open_posting(services, cause="pending") as posting:
        await add_member(posting.conn, member, now=now)
        if rows:
            await posting.accept(rows, now=now)
    await _introduce(services, Member(program.id, registration.member_id, registration.country), now=now)
    shown = [CreditView(r.id, r.credit.rule_id, r.credit.points, "pending", r.credit.due_at) for r in rows]
    return RegisteredMember(registration.member_id, program.id, registration.country, now, shown)


def offered(services: Services, registration: MemberRegistration, now: datetime) -> tuple[Program, str]:
    """(the version in force for whoever joins, their zone). Raises Refusal unknown_program, not_eligible."""
    versions = services.programs.known(registration.program)
    try:
        program, market = services.programs.in_force(
            registration.program, at=now, country=registration.country
        )
    except Refusal:
        # What else is against them: by the newest rules, and by a day that is the same for everyone.
        rules, today = versions[-1].eligibility, now.astimezone(UTC).date()
        reasons = reasons_against(
            rules, kind=registration.kind, birth_date=registration.birth_date, today=today
        )
        raise Refusal(Code.NOT_ELIGIBLE, reasons=["country", *reasons]) from None
    return program, market.zone


def check_eligible(rules: Eligibility, registration: MemberRegistration, *, today: date) -> None:
    """`today` is that of the member's zone. Raises Refusal not_eligible."""
    reasons = reasons_against(rules, kind=registration.kind, birth_date=registration.birth_date, today=today)
    if reasons:
        raise Refusal(Code.NOT_ELIGIBLE, reasons=reasons)


def phone_of(program: Program, phone: str, *, country: str) -> str:
    """A phone number as it is kept. Raises Refusal invalid_phone, where it is to be a card number also for
    one that is not mobile.
    """
    try:
        number = normalized(phone, country)
    except NotAPhoneNumber:
        number = ""
    if not number or (program.cards.phone_is_card and not is_mobile(number)):
        raise Refusal(Code.INVALID_PHONE)
    return number


def new_member(services: Services, program: Program, registration: MemberRegistration) -> NewMember:
    """What is kept of whoever joins. Raises Refusal invalid_phone."""
    hashed = None
    if registration.person_ref is not None and program.eligibility.one_account_a_person:
        hashed = person_hash(registration.person_ref, program_id=program.id, pepper=services.settings.pepper)
    phone = (
        None
        if registration.phone is None
        else phone_of(program, registration.phone, country=registration.country)
    )
    numbers = [
        stored_number(program.cards, registration.country, number) for number in registration.card_numbers
    ]
    if phone is not None and program.cards.phone_is_card:
        numbers.insert(0, phone)
    return NewMember(
        program_id=program.id,
        member_id=registration.member_id,
        country=registration.country,
        kind=registration.kind,
        birth_date=registration.birth_date,
        person_hash=hashed,
        phone=phone,
        referral_code=registration.referral_code,
        card_numbers=list(dict.fromkeys(numbers)),
    )


async def _introduce(services: Services, member: Member, *, now: datetime) -> None:
    """Tells the gate of somebody who has used nothing yet, which saves their first tap a question."""
    services.members.add(member)
    day, month = calendar.window("day", now, "UTC").period, calendar.window("month", now, "UTC").period
    try:
        await services.gate.load([(member.program_id, member.member_id, [])], day=day, month=month)
    except Unavailable:
        # It will ask the database at their first tap.
        return
