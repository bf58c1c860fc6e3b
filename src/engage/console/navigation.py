"""The sections of the console, each with the permission that it needs."""

from typing import Final

from msgspec import Struct

from engage.console.context import Visitor
from engage.domain.operators.roles import Permission


class Section(Struct, frozen=True):
    """A link of the menu. Its text is `console.section.<name>`."""

    name: str
    needs: Permission

    @property
    def path(self) -> str:
        return f"/console/{self.name}"


SECTIONS: Final = (
    Section("campaigns", Permission.VIEW),
    Section("members", Permission.READ_MEMBERS),
    Section("corrections", Permission.READ_MEMBERS),
    Section("referrals", Permission.READ_MEMBERS),
    Section("suspicions", Permission.READ_MEMBERS),
    Section("withdrawals", Permission.PAY),
    Section("segments", Permission.VIEW),
    Section("rewards", Permission.VIEW),
    Section("quizzes", Permission.VIEW),
    Section("draws", Permission.VIEW),
    Section("programs", Permission.VIEW),
    Section("reports", Permission.PAY),
    Section("health", Permission.VIEW),
    Section("audit", Permission.APPROVE),
    Section("operators", Permission.ADMINISTER),
    Section("keys", Permission.ADMINISTER),
)


def sections_for(visitor: Visitor) -> list[Section]:
    return [section for section in SECTIONS if visitor.may(section.needs)]
