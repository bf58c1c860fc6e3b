"""Update members: a new phone number or none, more cards and fewer."""

from collections.abc import Collection, Iterator
from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from engage.domain.document.fields import ProgramId
from engage.domain.members.cards import CardNumber
from engage.domain.members.phone import Phone
from engage.domain.referrals.referral import Trait
from engage.domain.referrals.traits import Addresses, DeviceIds
from engage.domain.refusals import Code, Refusal
from engage.flows.members.cards import possible_forms
from engage.flows.members.register import stored_cards, stored_phone
from engage.flows.referrals.terms import traits_to_keep
from engage.runtime.database import transaction
from engage.runtime.services import Services
from engage.store.members.members import (
    Profile,
    add_cards,
    drop_cards,
    lock_profiles,
    read_cards,
    set_phone,
)
from engage.store.referrals.traits import add_traits

Cards = Annotated[list[CardNumber], Meta(max_length=16)]


class MemberUpdate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Changes to a member. Fields left out stay as they are.

    `phone`: null takes the number off the member, for example because it is another person's now.
    `card_numbers` are added to the existing ones. `remove_card_numbers` are taken off the member, for example
    lost cards; they may be phone numbers. `device_ids` and `addresses` are stored as keyed hashes only,
    addresses in programs with referrals: members who have them in common do not invite each other. Members
    with the same device share what campaigns grant for one device.
    """

    program: ProgramId
    phone: Phone | UnsetType | None = UNSET
    card_numbers: Cards = []
    remove_card_numbers: Cards = []
    device_ids: DeviceIds = []
    addresses: Addresses = []


class UpdatedMember(Struct, frozen=True):
    """The member as stored now: phone number in E.164, card numbers as capitals and digits."""

    member_id: str
    program: str
    phone: str | None
    card_numbers: list[str]


async def update_member(services: Services, member_id: str, update: MemberUpdate) -> UpdatedMember:
    """Change a member's phone number, add cards and take them off. Repeating it changes nothing.

    A number that is taken off or replaced is free at once: its next owner may register with it. A number that
    is removed and added by one request is the member's. Raises Refusal unknown_member, invalid_phone,
    invalid_card, card_taken; Unavailable.
    """
    member = await services.members.get(services.db, update.program, member_id)
    key = (member.program_id, member.member_id)
    now, country = services.clock.now(), member.country
    program = services.programs.latest(member.program_id, at=now, country=country)
    added = stored_cards(program, update.card_numbers, country=country)
    removed = [
        form for number in update.remove_card_numbers for form in possible_forms(services, key[0], number)
    ]
    wanted = stored_phone(program, update.phone, country=country) if isinstance(update.phone, str) else None
    async with transaction(services.db) as conn:
        profile = (await lock_profiles(conn, key[0], [key[1]]))[key[1]]
        if profile.erased_at is not None or profile.merged_into is not None:
            # Closed a moment ago. A repeated request finds the member that they were merged into.
            raise Refusal(Code.UNKNOWN_MEMBER)
        phone = profile.phone if update.phone is UNSET else wanted
        if update.phone is UNSET and phone in removed:
            phone = None
        if phone != profile.phone:
            await set_phone(conn, profile, phone, now=now)
            if profile.phone is not None:
                removed.append(profile.phone)
            if phone is not None and program.cards.phone_is_card:
                added.insert(0, phone)
        had = set(await read_cards(conn, key)).intersection(removed) if removed else set()
        await drop_cards(conn, key, removed)
        traits = traits_to_keep(services, key[0], _traits(update, profile, phone, had))
        await add_traits(conn, key, traits, peppers=services.settings.peppers, now=now)
        await add_cards(conn, key, list(dict.fromkeys(added)))
        return UpdatedMember(key[1], key[0], phone, await read_cards(conn, key))


def _traits(
    update: MemberUpdate, profile: Profile, phone: str | None, cards: Collection[str]
) -> Iterator[tuple[Trait, str]]:
    """The numbers that the member had, and the traits that their row does not have."""
    if profile.phone is not None and profile.phone != phone:
        yield "phone", profile.phone
    for number in cards:
        yield "card", number
    for device in update.device_ids:
        yield "device", device
    for address in update.addresses:
        yield "address", address
