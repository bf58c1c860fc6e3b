"""Validation of the rules and definitions in a campaign, by the functions that programs use."""

from collections.abc import Iterator, Mapping, Sequence

from engage.domain.campaigns.definition import Campaign
from engage.domain.campaigns.surroundings import Surroundings
from engage.domain.definitions.kind import definition_conflicts, definition_problems
from engage.domain.document.errors import Problem, shown
from engage.domain.earning.limits import DailyStreak, FirstOrders
from engage.domain.earning.validation import rule_conflicts, rule_problems, short_code_problems
from engage.domain.program.kinds import KINDS
from engage.domain.program.program import Program
from engage.domain.program.validation import promise_problems


def part_problems(campaign: Campaign, around: Surroundings, beside: Sequence[Program]) -> Iterator[Problem]:
    """`beside` are the program versions that decide together with the campaign."""
    yield from _taken_ids(campaign, around)
    yield from _limits(campaign)
    yield from _promises(campaign)
    for program in beside:
        context = around.context(campaign, program)
        yield from rule_problems(campaign.rules, program.rules)
        yield from promise_problems(campaign.rules, program.promise)
        for kind in KINDS:
            yield from definition_problems(kind, campaign, campaign.program, context)
    for name, earlier in around.earlier.items():
        yield from rule_conflicts(earlier.rules, campaign.rules, name)
        for kind in KINDS:
            yield from definition_conflicts(kind, earlier, campaign, name)


def taken_id_problems(program: Program, campaigns: Sequence[Campaign]) -> Iterator[Problem]:
    """The ids of a program version that campaigns have."""
    around = Surroundings(programs=(), campaigns=campaigns)
    yield from _taken_ids(program, around)


def _taken_ids(document: Campaign | Program, around: Surroundings) -> Iterator[Problem]:
    """Ids that others of the program have. An id is for ever: source keys and the gate's records name it."""
    yield from _taken("rules", [rule.id for rule in document.rules], around.rule_owners)
    paths = {rule.id: f"rules[{n}].id" for n, rule in enumerate(document.rules)}
    all_paths = dict.fromkeys(around.rule_owners, "") | paths
    yield from (each for each in short_code_problems(all_paths, "an id") if each.path)
    for kind in KINDS:
        ids = [definition.id for definition in kind.of(document)]
        yield from _taken(kind.plural, ids, around.definition_owners(kind))


def _taken(field: str, ids: Sequence[str], owners: Mapping[str, str]) -> Iterator[Problem]:
    for n, id_ in enumerate(ids):
        if id_ in owners:
            yield Problem(f"{field}[{n}].id", "an id of its own", f"{shown(id_)}, which {owners[id_]} has")


def _promises(campaign: Campaign) -> Iterator[Problem]:
    """A budget that could never pay a prize: all of a draw, or the largest one of a game or a draw to a
    member.
    """
    budget = campaign.budget
    if budget is None:
        return
    for n, draw in enumerate(campaign.draws):
        all_points = draw.winners * draw.points
        if budget.points is not None and all_points > budget.points:
            expected = f"prizes of at most the {budget.points} points of the budget"
            yield Problem(f"draws[{n}].points", expected, f"{draw.winners} prizes of {draw.points}")
        if budget.count is not None and draw.winners > budget.count:
            expected = f"at most the {budget.count} credits of the budget"
            yield Problem(f"draws[{n}].winners", expected, str(draw.winners))
    largest = [(f"draws[{n}].points", draw.points) for n, draw in enumerate(campaign.draws)]
    for n, game in enumerate(campaign.games):
        prizes = enumerate(game.prizes)
        largest += [(f"games[{n}].prizes[{m}].points", each.points) for m, each in prizes if each.points]
    limits = [each for each in (budget.points, budget.points_per_member) if each is not None]
    for path, points in largest:
        if limits and points > min(limits):
            yield Problem(path, f"at most {min(limits)}, which the budget gives to a member", str(points))


def _limits(campaign: Campaign) -> Iterator[Problem]:
    """No limits that go on beyond the campaign: a streak, and places among a member's orders."""
    for n, rule in enumerate(campaign.rules):
        if isinstance(rule.limit, DailyStreak | FirstOrders):
            found = f"{shown(rule.limit.kind)}, which only rules of a program can have"
            yield Problem(f"rules[{n}].limit.type", "a limit that ends with the campaign", found)
