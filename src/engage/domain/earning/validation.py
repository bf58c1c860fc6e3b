"""Validation of earning rules: one by one, together, and against those of an earlier version."""

from collections.abc import Iterator, Mapping, Sequence

from engage.domain.document.errors import Problem, duplicate_names, shown
from engage.domain.document.order_scope import OrderScope, scope_problems
from engage.domain.earning.awards import EveryNthDay
from engage.domain.earning.definition import Rule
from engage.domain.earning.limits import DailyStreak, FirstOrders, Once, OncePer, PerWindow, SameAs
from engage.domain.earning.slots import short_code

# Prefixes of source keys that no rule grants: the ledger's own credits and early removals have them.
RESERVED_IDS = frozenset(
    {
        *("removed", "order", "quiz", "referral", "challenge"),
        *("adjustment", "transfer", "opening", "opening_balance", "restored"),
    }
)


def rule_problems(rules: Sequence[Rule], beside: Sequence[Rule] = ()) -> Iterator[Problem]:
    """Validate each rule by itself and with the others that it names, then rules that would pay twice.

    `beside` are valid rules of another document that pay in the same program.
    """
    yield from _ids([rule.id for rule in rules])
    by_id = {rule.id: rule for rule in reversed([*rules, *beside])}
    for n, rule in enumerate(rules):
        others = {rule_id: other for rule_id, other in by_id.items() if rule_id != rule.id}
        yield from _rule(rule, f"rules[{n}]", others)
    yield from _overlaps(rules, beside)


def rule_conflicts(earlier: Sequence[Rule], later: Sequence[Rule], version: str) -> Iterator[Problem]:
    """Rules of a later version that have the id of another rule of `version`, the earlier one.

    An id is for ever: source keys and the gate's records contain it.
    """
    known = {rule.id: rule for rule in earlier}
    for n, rule in enumerate(later):
        old = known.get(rule.id, rule)
        new_id = f"as in version {version}, or a new id for a new rule"
        if old.on.activity != rule.on.activity:
            expected = f"{old.on.activity} {new_id}"
            yield Problem(f"rules[{n}].on.activity", expected, shown(rule.on.activity))
        if old.limit.kind != rule.limit.kind:
            yield Problem(f"rules[{n}].limit.type", f"{old.limit.kind} {new_id}", shown(rule.limit.kind))
    paths = {rule.id: "" for rule in earlier} | {rule.id: f"rules[{n}].id" for n, rule in enumerate(later)}
    yield from short_code_problems(paths, "an id")


def short_code_problems(paths: Mapping[str, str], what: str) -> Iterator[Problem]:
    """The problems of names, with their paths, that have the gate's short code of an earlier name."""
    by_code: dict[int, str] = {}
    for name, path in paths.items():
        first = by_code.setdefault(short_code(name), name)
        if first != name:
            found = f'{shown(name)}, which has the short code of "{first}"'
            yield Problem(path, f"{what} with a unique short code", found)


def _ids(ids: Sequence[str]) -> Iterator[Problem]:
    yield from duplicate_names(ids, "rules", "id")
    for n, rule_id in enumerate(ids):
        if rule_id in RESERVED_IDS:
            yield Problem(f"rules[{n}].id", "another id", f"{shown(rule_id)}, which the ledger reserves")
    yield from short_code_problems({rule_id: f"rules[{n}].id" for n, rule_id in enumerate(ids)}, "an id")


def _rule(rule: Rule, path: str, others: Mapping[str, Rule]) -> Iterator[Problem]:
    on = rule.on
    if on.kind is not None and "kind" not in on.fields:
        yield Problem(f"{path}.on.kind", f"no kind: a {on.activity} has none", shown(on.kind))
    if on.page is not None and "page" not in on.fields:
        yield Problem(f"{path}.on.page", f"no page: a {on.activity} has none", shown(on.page))
    yield from rule.due.problems(on, path)
    yield from _order_rule(rule, path) if on.activity == "order" else _activity_rule(rule, path)
    yield from rule.award.problems(f"{path}.award")
    yield from scope_problems(rule.orders, f"{path}.orders")
    if on.activity != "order" or not isinstance(rule.limit, SameAs):
        yield from rule.limit.problems(on, path, others)
    yield from _further_limits(rule, path)
    if on.activity == "registration" and not isinstance(rule.limit, Once | SameAs):
        found = f"{rule.limit.kind}: a member registers once"
        yield Problem(f"{path}.limit.type", "once or same_as", found)
    if isinstance(rule.award, EveryNthDay) and on.activity != "order":
        yield from _streak_bonus(rule, f"{path}.award.type", others)


def _order_rule(rule: Rule, path: str) -> Iterator[Problem]:
    if not isinstance(rule.limit, OncePer | FirstOrders):
        expected = 'once_per, with field = "order_id": each order pays once; or first_orders'
        yield Problem(f"{path}.limit.type", expected, shown(rule.limit.kind))
    if not rule.award.for_orders:
        expected = "an award for orders: they have no streak"
        yield Problem(f"{path}.award.type", expected, shown(rule.award.kind))


def _activity_rule(rule: Rule, path: str) -> Iterator[Problem]:
    activity = rule.on.activity
    if not rule.award.for_activities:
        expected = f"fixed or every_nth_day: a {activity} has no amount"
        yield Problem(f"{path}.award.type", expected, shown(rule.award.kind))
    if rule.orders != OrderScope():
        yield Problem(f"{path}.orders", f"none: this rule is about {activity}", "a table")


def _further_limits(rule: Rule, path: str) -> Iterator[Problem]:
    """Validate that each further limit can ever stop what the rule's own limit lets through."""
    if not rule.also:
        return
    reason = None
    if isinstance(rule.limit, Once):
        reason = "the rule pays once"
    elif isinstance(rule.limit, SameAs):
        reason = f'the rule pays whenever "{rule.limit.rule}" does: limit that one'
    elif rule.on.activity == "order":
        reason = "each order pays once"
    if reason is not None:
        yield Problem(f"{path}.also", f"nothing: {reason}", f"{len(rule.also)} further limits")
        return
    windows = [rule.limit.window] if isinstance(rule.limit, PerWindow) else []
    for n, limit in enumerate(rule.also):
        if limit.window in windows:
            expected = "another window than those of the rule's other limits"
            yield Problem(f"{path}.also[{n}].window", expected, shown(limit.window))
        windows.append(limit.window)


def _streak_bonus(rule: Rule, path: str, others: Mapping[str, Rule]) -> Iterator[Problem]:
    limit = rule.limit
    if isinstance(limit, DailyStreak):
        # The database knows a streak by the credits of its days.
        expected = "fixed: each day pays; a bonus is a rule of its own, same_as this one"
        yield Problem(path, expected, '"every_nth_day"')
        return
    leader = others.get(limit.rule) if isinstance(limit, SameAs) else rule
    if leader is not None and not isinstance(leader.limit, DailyStreak | SameAs):
        expected = "fixed, or a limit that is same_as a daily_streak rule"
        yield Problem(path, expected, '"every_nth_day" with no streak behind it')


def _overlaps(rules: Sequence[Rule], beside: Sequence[Rule]) -> Iterator[Problem]:
    for n, rule in enumerate(rules):
        for earlier in [*beside, *rules[:n]]:
            if isinstance(rule.limit, DailyStreak) and isinstance(earlier.limit, DailyStreak):
                if rule.on.covers(earlier.on) or earlier.on.covers(rule.on):
                    found = f'a second one besides "{earlier.id}"'
                    yield Problem(f"rules[{n}].limit.type", "one daily_streak for an activity", found)
            elif (rule.on, rule.limit) == (earlier.on, earlier.limit) and not _differ(rule, earlier):
                found = f'those of "{earlier.id}": make it one rule, or this one same_as that'
                yield Problem(f"rules[{n}]", "an activity or a limit of its own", found)


def _differ(rule: Rule, earlier: Rule) -> bool:
    """Tell apart two rules of one activity and limit that may stand side by side."""
    if rule.unit != earlier.unit:
        return True
    if rule.on.activity == "order":
        return (rule.orders, rule.award) != (earlier.orders, earlier.award)
    return isinstance(rule.limit, SameAs) and rule.award != earlier.award
