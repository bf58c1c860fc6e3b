"""The earning rules of a program version, found by what a decision knows: an activity, a leader, an id."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from msgspec import Struct

from engage.domain.activity import AnyActivity
from engage.domain.earning.awards import EveryNthDay
from engage.domain.earning.definition import Rule
from engage.domain.earning.limits import DailyStreak, FirstOrders, PerWindow, SameAs, WindowSlot

ActivityKey = tuple[str, str | None]  # (activity, its qualifier; None for all that no rule names)


class RuleIndex(Struct, frozen=True):
    """Rules in the order of their document, wherever there are several.

    `followers` are the rules that are same_as a rule, by its id; `windows` are a rule's limits per window, by
    its id. `first_orders` are the limits of rules that pay the first orders alone, by their ids.
    """

    by_id: Mapping[str, Rule]
    by_activity: Mapping[ActivityKey, tuple[Rule, ...]]
    followers: Mapping[str, tuple[Rule, ...]]
    streaks: tuple[Rule, ...]
    windows: Mapping[str, tuple[PerWindow, ...]]
    first_orders: Mapping[str, FirstOrders]

    def matching(self, activity: AnyActivity) -> tuple[Rule, ...]:
        """The rules about an activity; none where the version offers nothing for it."""
        key = str(activity.__struct_config__.tag), activity.qualifier
        found = self.by_activity.get(key)
        return self.by_activity.get((key[0], None), ()) if found is None else found

    def about(self, activity: str) -> set[str]:
        """The ids of the rules about any kind of an activity."""
        return {
            rule.id for (name, _), rules in self.by_activity.items() if name == activity for rule in rules
        }

    def leader(self, rule_id: str) -> Rule:
        """The rule whose slot a rule pays for: itself, unless it is same_as another."""
        rule = self.by_id[rule_id]
        return self.by_id[rule.limit.rule] if isinstance(rule.limit, SameAs) else rule

    @property
    def streak(self) -> Rule | None:
        """The streak that the home screen shows: the first one."""
        return self.streaks[0] if self.streaks else None

    def bonus_days(self, rule_id: str) -> int | None:
        """The days from one bonus of a streak rule to the next; None where there is none."""
        awards = (follower.award for follower in self.followers.get(rule_id, ()))
        return next((award.days for award in awards if isinstance(award, EveryNthDay)), None)

    def open_windows(self, at: datetime, zone: str) -> list[WindowSlot]:
        """A slot of each window that contains `at`."""
        return [
            limit.open_slot(rule_id, at, zone) for rule_id, limits in self.windows.items() for limit in limits
        ]


def index_rules(rules: Iterable[Rule]) -> RuleIndex:
    """Index rules, of one list or of several chained. Of two with the same id the first counts."""
    rules = list(rules)
    qualifiers: dict[str, dict[str | None, None]] = {}
    for rule in rules:
        qualifiers.setdefault(rule.on.activity, {None: None})[rule.on.qualifier] = None
    by_id: dict[str, Rule] = {}
    by_activity: dict[ActivityKey, list[Rule]] = {}
    followers: dict[str, list[Rule]] = {}
    for rule in rules:
        by_id.setdefault(rule.id, rule)
        own = rule.on.qualifier
        for qualifier in qualifiers[rule.on.activity] if own is None else (own,):
            by_activity.setdefault((rule.on.activity, qualifier), []).append(rule)
        if isinstance(rule.limit, SameAs):
            followers.setdefault(rule.limit.rule, []).append(rule)
    return RuleIndex(
        by_id=by_id,
        by_activity={key: tuple(found) for key, found in by_activity.items()},
        followers={leader: tuple(found) for leader, found in followers.items()},
        streaks=tuple(rule for rule in by_id.values() if isinstance(rule.limit, DailyStreak)),
        windows={rule.id: limits for rule in by_id.values() if (limits := _windows(rule))},
        first_orders={rule.id: rule.limit for rule in by_id.values() if isinstance(rule.limit, FirstOrders)},
    )


def _windows(rule: Rule) -> tuple[PerWindow, ...]:
    return (rule.limit, *rule.also) if isinstance(rule.limit, PerWindow) else tuple(rule.also)
