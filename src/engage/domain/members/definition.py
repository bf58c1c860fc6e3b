"""The sections `eligibility` and `cards` of a document."""

from typing import Annotated, Literal

from msgspec import Meta, field

from engage.domain.document.fields import DocumentStruct


class Eligibility(DocumentStruct, frozen=True):
    """The conditions of joining. Without a birth date the shop has vouched for the age.

    `person_ref`: where a person has one account, nobody joins without a reference of the person, unless it is
    "optional": then the shop vouches for those who have none.
    """

    min_age: Annotated[int, Meta(ge=0, le=120)] | None = None
    kinds: list[Literal["person", "company"]] = field(default_factory=lambda: ["person"])
    one_account_a_person: bool = True
    person_ref: Literal["required", "optional"] = "required"


class Cards(DocumentStruct, frozen=True, kw_only=True):
    """`phone_is_card`: a member's mobile phone number is a card number; older cards stay valid too."""

    phone_is_card: bool = False
