"""All that one member's app and the shop know of the member: what they did, and what they were answered."""

from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import Any

from engage.torture.members.actions import Action


@dataclass
class KnownOrder:
    """An order as the shop sees it. `back`: pieces returned so far, by line."""

    order_id: str
    lines: list[dict[str, Any]]
    hold_id: str | None = None
    is_delivered: bool = False
    is_cancelled: bool = False
    back: dict[str, int] = field(default_factory=dict)

    def kept(self) -> dict[str, int]:
        """The pieces that can still be returned, by line."""
        left = {line["line_id"]: line["quantity"] - self.back.get(line["line_id"], 0) for line in self.lines}
        return {line_id: quantity for line_id, quantity in left.items() if quantity}


@dataclass
class Knowledge:
    """`now`: the sandbox's time, or a little before it. `codes`: invitations that members have made known."""

    member: str
    country: str
    now: datetime
    joined: datetime
    serial: int = 0
    orders: dict[str, KnownOrder] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    shares: list[str] = field(default_factory=list)
    reviews: list[str] = field(default_factory=list)
    holds: dict[str, dict[str, Any]] = field(default_factory=dict)
    attempts: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    withdrawals: list[str] = field(default_factory=list)
    codes: set[str] = field(default_factory=set)

    def new_id(self, kind: str) -> str:
        """An identifier of the shop's or the app's own."""
        self.serial += 1
        return f"{kind}-{self.member}-{self.serial}"

    def chosen(self, rng: Random, ids: list[str], kind: str, *, again: float = 0.2) -> str:
        """A new identifier, or at times one that was used before."""
        return rng.choice(ids) if ids and rng.random() < again else self.new_id(kind)


def get(operation: str, path: str) -> Action:
    return Action(operation=operation, method="GET", path=path)


def post(operation: str, path: str, body: Any = None, *, needs_key: bool = False) -> Action:
    return Action(operation=operation, method="POST", path=path, body=body, needs_key=needs_key)
