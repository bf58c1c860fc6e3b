"""Roles of operators, and the permissions that each one has."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, Literal, get_args

Role = Literal["viewer", "marketer", "approver", "support", "finance", "admin"]

ROLES: Final[tuple[Role, ...]] = get_args(Role)


class Permission(StrEnum):
    """A kind of deed. A page, a form and a link to them name the same permission."""

    VIEW = "view"  # Campaigns, programs and definitions, with their reports. No member.
    WRITE = "write"  # Drafts of campaigns; quizzes, draws, segments; pause and end.
    APPROVE = "approve"  # What another operator has written or asked for.
    READ_MEMBERS = "read_members"
    HELP_MEMBERS = "help_members"  # Correct, merge and erase; decide on referrals.
    PAY = "pay"  # Withdrawals, and the reports of finance.
    ADMINISTER = "administer"  # Programs with their rewards, operators and keys.


_OF_ROLE: Final[Mapping[Role, frozenset[Permission]]] = {
    "viewer": frozenset({Permission.VIEW}),
    "marketer": frozenset({Permission.VIEW, Permission.WRITE}),
    "approver": frozenset({Permission.VIEW, Permission.APPROVE, Permission.READ_MEMBERS}),
    "support": frozenset({Permission.VIEW, Permission.READ_MEMBERS, Permission.HELP_MEMBERS}),
    "finance": frozenset({Permission.VIEW, Permission.READ_MEMBERS, Permission.PAY}),
    "admin": frozenset(Permission),
}


def may(role: Role, permission: Permission) -> bool:
    return permission in _OF_ROLE[role]
