"""Parameters of paths and queries that several features have."""

from typing import Annotated, Final
from uuid import UUID

from litestar.params import PathParameter, QueryParameter

# The default of a parameter that was left out. With None, msgspec would accept `state=null`.
NOT_GIVEN: Final = ""

MemberIdParameter = Annotated[str, PathParameter(description="The shop's id of the member.")]
WithdrawalIdParameter = Annotated[UUID, PathParameter(description="The id of the withdrawal.")]
MemberProgramParameter = Annotated[
    str,
    QueryParameter(
        description="The member's program. Needed only where members of several programs have this id.",
        max_length=32,
    ),
]
