"""The feed is gap-free, or says so: a socket's `seq` never falls, and the last state is that of REST."""

from collections.abc import Iterator
from typing import Any, Final

from msgspec import Struct

from engage.torture.checks.broken import Broken
from engage.torture.checks.evidence import Evidence
from engage.torture.members.sockets import DELAY_S
from engage.torture.record import Closed, Opened, Pushed

FEED: Final = "the feed is gap-free, or says so"

FIELDS: Final = ("pending", "held", "debt")


class Socket(Struct):
    """A connection, with its messages in order."""

    opened: Opened
    pushed: list[Pushed]
    closed_at: float


def sockets_of(evidence: Evidence) -> list[Socket]:
    sockets: dict[int, Socket] = {}
    for line in evidence.lines:
        match line:
            case Opened():
                sockets[line.socket] = Socket(line, [], float("inf"))
            case Pushed():
                sockets[line.socket].pushed.append(line)
            case Closed():
                sockets[line.socket].closed_at = line.at
    return list(sockets.values())


def sockets_are_in_order(evidence: Evidence) -> Iterator[Broken]:
    """The first message is a state, and from then on `seq` rises; a snapshot may begin anew."""
    for socket in sockets_of(evidence):
        last = -1
        for number, pushed in enumerate(socket.pushed):
            message = pushed.message
            if number == 0 and message["type"] != "snapshot" and socket.opened.resumed is None:
                yield Broken(FEED, (), f"{pushed.member}: a socket begins with {message}")
            if message["type"] == "balance" and message["seq"] < last:
                yield Broken(FEED, (), f"{pushed.member}: {message} came after the seq {last}")
            last = message.get("seq", last)


def states_agree(evidence: Evidence) -> Iterator[Broken]:
    """The feed and REST show the same balance under the same `seq`."""
    shown: dict[tuple[str, int], dict[str, Any]] = {}
    for socket in sockets_of(evidence):
        for pushed in socket.pushed:
            if "balance" in pushed.message:
                key = pushed.member, pushed.message["seq"]
                before = shown.setdefault(key, pushed.message["balance"])
                if before != pushed.message["balance"]:
                    text = f"{key} was pushed as {before}, and as {pushed.message['balance']}"
                    yield Broken(FEED, (), text)
    for exchange in evidence.of("getHome"):
        if exchange.is_done:
            balance = exchange.answer["balance"]
            pushed_balance = shown.get((exchange.sent.member, balance["seq"]))
            if pushed_balance and any(pushed_balance[name] != balance[name] for name in FIELDS):
                text = f"{exchange.sent.member} read {balance}, and the feed said {pushed_balance}"
                yield Broken(FEED, (exchange.id,), text)


def last_states_are_pushed(evidence: Evidence) -> Iterator[Broken]:
    """A socket that is open at the end has what the member's last home screen showed: no update is lost."""
    homes = {each.sent.member: each for each in evidence.of("getHome") if each.is_done}
    for socket in sockets_of(evidence):
        home = homes.get(socket.opened.member)
        if home is None or socket.opened.at > home.sent.at or socket.closed_at < home.ended + DELAY_S:
            continue
        seen = max([each.message.get("seq", 0) for each in socket.pushed] + [socket.opened.resumed or 0])
        if seen < home.answer["balance"]["seq"]:
            text = f"{socket.opened.member}: REST shows {home.answer['balance']}, and a socket {seen}"
            yield Broken(FEED, (home.id,), text)
