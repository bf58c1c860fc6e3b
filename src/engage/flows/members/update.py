"""Update members: a new phone number, more cards."""

from typing import Annotated

from msgspec import Meta, Struct

from engage.domain.document.fields import ProgramId
from engage.domain.members.cards import CardNumber, stored_number
from engage.domain.members.phone import Phone
from engage.domain.refusals import Code, Refusal
from engage.flows.members.register import stored_phone
from engage.runtime.database import transaction
from engage.runtime.services import Services
from engage.store.members.members import add_cards, drop_card, lock_profiles, read_cards, set_phone


class MemberUpdate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Changes to a member. Fields left out stay; `card_numbers` are added to the existing ones."""

    program: ProgramId
    phone: Phone | None = None
    card_numbers: Annotated[list[CardNumber], Meta(max_length=16)] = []


class UpdatedMember(Struct, frozen=True):
    """The member as stored now: phone number in E.164, card numbers without spaces."""

    member_id: str
    program: str
    phone: str | None
    card_numbers: list[str]


async def update_member(services: Services, member_id: str, update: MemberUpdate) -> UpdatedMember:
    """Change a member's phone number and add cards. Repeating it changes nothing.

    If phone numbers are card numbers, the old number is released: its next owner may register with it.
    Raises Refusal unknown_member, invalid_phone, card_taken; Unavailable.
    """
    member = await services.members.get(services.db, update.program, member_id)
    key = (member.program_id, member.member_id)
    now = services.clock.now()
    program = services.programs.latest(member.program_id, at=now, country=member.country)
    numbers = [
        stored_number(program.cards, member.country, card_number) for card_number in update.card_numbers
    ]
    phone = None if update.phone is None else stored_phone(program, update.phone, country=member.country)
    async with transaction(services.db) as conn:
        profile = (await lock_profiles(conn, key[0], [key[1]]))[key[1]]
        if profile.erased_at is not None or profile.merged_into is not None:
            # Closed a moment ago. A repeated request finds the member that they were merged into.
            raise Refusal(Code.UNKNOWN_MEMBER)
        if phone is not None and phone != profile.phone:
            await set_phone(conn, key, phone, now=now)
            if program.cards.phone_is_card:
                numbers.insert(0, phone)
                if profile.phone is not None:
                    await drop_card(conn, key, profile.phone)
        await add_cards(conn, key, list(dict.fromkeys(numbers)))
        return UpdatedMember(key[1], key[0], phone or profile.phone, await read_cards(conn, key))
