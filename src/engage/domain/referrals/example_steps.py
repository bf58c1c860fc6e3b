"""Steps of examples about referrals. Points come after the hold: a later step sees them in the balance."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta

from engage.domain.document.fields import RuleId
from engage.domain.feature.action import Action
from engage.domain.feature.outcome import Outcome
from engage.domain.referrals.simulated import SimulatedReferrals
from engage.domain.simulation.member import SimulatedMember

# A friend of the member, by a name that the example gives.
Friend = RuleId


class FriendJoins(Action, frozen=True, tag="friend_joins"):
    """A friend registers with the member's code."""

    friend: Friend

    def play(self, member: SimulatedMember, at: datetime) -> Outcome:
        member.feature(SimulatedReferrals).invite(self.friend, at)
        return Outcome()


class FriendOrders(Action, frozen=True, tag="friend_orders"):
    """A friend who has joined pays an order and receives it."""

    friend: Friend
    paid: Annotated[int, Meta(ge=1, le=1_000_000_000)]  # Minor units of the country's currency.

    def play(self, member: SimulatedMember, at: datetime) -> Outcome:
        member.feature(SimulatedReferrals).order(self.friend, self.paid, at)
        return Outcome()


class FriendReturns(Action, frozen=True, tag="friend_returns"):
    """A friend gives all orders back."""

    friend: Friend

    def play(self, member: SimulatedMember, at: datetime) -> Outcome:
        member.feature(SimulatedReferrals).give_back(self.friend)
        return Outcome()


class UseFriendsCode(Action, frozen=True, tag="use_friends_code"):
    """The member uses the code of a friend who has invited them."""

    def play(self, member: SimulatedMember, at: datetime) -> Outcome:
        member.feature(SimulatedReferrals).use_code(at)
        return Outcome()
