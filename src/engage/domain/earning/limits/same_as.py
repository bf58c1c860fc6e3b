"""Whenever another rule of the same activity gets its slot."""

from collections.abc import Iterator, Mapping
from datetime import datetime

from engage.domain.activity import AnyActivity
from engage.domain.document.errors import Problem, nearest, shown
from engage.domain.document.fields import RuleId
from engage.domain.earning.limits.kind import LimitedRule, LimitKind
from engage.domain.earning.on import On
from engage.domain.earning.streak import Streak


class SameAs(LimitKind, frozen=True, tag="same_as"):
    """Whenever that other rule of the same activity gets its slot; takes none of its own."""

    rule: RuleId

    def slot(
        self, rule_id: str, activity: AnyActivity, at: datetime, zone: str, streak: Streak | None
    ) -> None:
        return None

    def problems(self, on: On, path: str, others: Mapping[str, LimitedRule]) -> Iterator[Problem]:
        field = f"{path}.limit.rule"
        leader = others.get(self.rule)
        if leader is None:
            known = shown(self.rule) + nearest(self.rule, others)
            yield Problem(field, "the id of another rule", known)
            return
        if isinstance(leader.limit, SameAs):
            found = f'{shown(self.rule)}, which is itself same_as "{leader.limit.rule}"'
            yield Problem(field, "a rule with a limit of its own", found)
        if not leader.on.covers(on):
            yield Problem(field, f"a rule about {on}", f"{shown(self.rule)}, which is about {leader.on}")
