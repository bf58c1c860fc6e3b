"""The examples of a campaign: those of programs, and the facts of the member that no step can bring about."""

from typing import Annotated

from msgspec import Meta, field

from engage.domain.definitions.definition import DefinitionId, Moment
from engage.domain.program.example import Example


class CampaignExample(Example, frozen=True, kw_only=True):
    """`segments` are those that the member is in. The member has joined at `joined_at`, or with the first
    step. One who is `held_out` is in the group that gets nothing.
    """

    segments: Annotated[list[DefinitionId], Meta(max_length=100)] = field(default_factory=list)
    joined_at: Moment | None = None
    held_out: bool = False
