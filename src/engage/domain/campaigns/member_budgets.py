"""Cut the credits of one member to what budgets leave of them: rules pay whole, and boosts are cut. Pure."""

from collections.abc import Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from engage.domain.campaigns.audience import Reason
from engage.domain.campaigns.boosting import Addition, Look
from engage.domain.campaigns.budget import Left, Used, Wanted, within, within_own_limits
from engage.domain.campaigns.definition import Budget, Campaign
from engage.domain.earning.credit import NewCredit
from engage.domain.earning.unit import POINTS
from engage.domain.keys import MemberKey

_ONE_DEVICE = "device"
_MEMBER: MemberKey = ("", "")


class BudgetUse(Struct, frozen=True, kw_only=True):
    """Points and credits that a campaign has granted and not taken back, to all and to one member. The member
    has one device.
    """

    points: int = 0
    count: int = 0
    member_points: int = 0
    device_count: int = 0

    def __add__(self, other: "BudgetUse") -> "BudgetUse":
        return BudgetUse(
            points=self.points + other.points,
            count=self.count + other.count,
            member_points=self.member_points + other.member_points,
            device_count=self.device_count + other.device_count,
        )


NOTHING_USED = BudgetUse()


def unpaid(
    credits: Sequence[NewCredit], campaigns: Mapping[str, Campaign], used: Mapping[str, BudgetUse]
) -> set[str]:
    """The rules of campaigns whose budgets cannot pay their credits as a whole."""
    found = [
        (credit.rule_id, Wanted(campaigns[credit.campaign], _MEMBER, credit.points, whole=True))
        for credit in credits
        if credit.campaign is not None and credit.unit == POINTS
    ]
    allowed = _allowed([each for _, each in found], used)
    return {rule for (rule, _), points in zip(found, allowed, strict=True) if not points}


def within_budgets(
    additions: Sequence[Addition], used: Mapping[str, BudgetUse], looks: list[Look]
) -> list[Addition]:
    """The additions that budgets allow, in their order, each cut to what is left. `used` is by campaign. What
    is cut is said in `looks`.
    """
    wanted = [Wanted(each.published.campaign, _MEMBER, each.points) for each in additions]
    allowed = _allowed(wanted, used)
    for addition, points in zip(additions, allowed, strict=True):
        if points < addition.points:
            _say_cut(addition, points, looks)
    granted = zip(additions, allowed, strict=True)
    return [replace(addition, points=points) for addition, points in granted if points]


def _allowed(wanted: Sequence[Wanted], used: Mapping[str, BudgetUse]) -> list[int]:
    """The points of credits of the member that budgets leave of them."""
    uses = {each.campaign.id: used.get(each.campaign.id, NOTHING_USED) for each in wanted}
    own = {(id_, _MEMBER): Used(use.member_points, (_ONE_DEVICE,)) for id_, use in uses.items()}
    devices = {(id_, _ONE_DEVICE): use.device_count for id_, use in uses.items()}
    left = {each.key: _left(each.campaign.budget, uses[each.campaign.id]) for each in wanted}
    return within(wanted, within_own_limits(wanted, own, devices), left)


def _left(budget: Budget | None, use: BudgetUse) -> Left:
    points = None if budget is None or budget.points is None else max(0, budget.points - use.points)
    count = None if budget is None or budget.count is None else max(0, budget.count - use.count)
    return Left(points, count)


def _say_cut(addition: Addition, points: int, looks: list[Look]) -> None:
    published = addition.published
    name = published.id, published.version, addition.boost.id, addition.base.credit.rule_id
    n = max(n for n, look in enumerate(looks) if (look.campaign, look.version, look.part, look.rule) == name)
    facts = looks[n].facts | {"points": points, "wanted": addition.points}
    looks[n] = replace(looks[n], reason=Reason.BUDGET, applied=points > 0, facts=facts)
