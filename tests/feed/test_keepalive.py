"""Sockets are pinged in turns, and those that do not answer are found."""

from engage.feed.keepalive import Keepalive

EVERY_S = 20


class Peer:
    """A socket that counts its pings."""

    turn = 0
    awaits_pong = False

    def __init__(self) -> None:
        self.pings = 0

    def send_ping(self) -> None:
        self.awaits_pong = True
        self.pings += 1


def live(keepalive: Keepalive[Peer], peer: Peer, begin: int, end: int, *, answers: bool = True) -> list[Peer]:
    """Tick each second. Return those that were found silent."""
    silent: list[Peer] = []
    for second in range(begin + 1, end + 1):
        silent += keepalive.tick(second)
        peer.awaits_pong = peer.awaits_pong and not answers
    return silent


def test_a_socket_is_pinged_once_in_each_interval() -> None:
    keepalive: Keepalive[Peer] = Keepalive(EVERY_S, 100.0)
    peer = Peer()
    keepalive.add(peer, 100.3)
    assert live(keepalive, peer, 100, 119) == []
    assert peer.pings == 0
    assert live(keepalive, peer, 119, 160) == []
    assert peer.pings == 3


def test_a_socket_that_has_not_answered_by_its_next_turn_is_found() -> None:
    keepalive: Keepalive[Peer] = Keepalive(EVERY_S, 100.0)
    peer = Peer()
    keepalive.add(peer, 100.0)
    assert live(keepalive, peer, 100, 139, answers=False) == []
    assert live(keepalive, peer, 139, 140, answers=False) == [peer]
    assert peer.pings == 1


def test_a_socket_that_has_left_is_pinged_no_more() -> None:
    keepalive: Keepalive[Peer] = Keepalive(EVERY_S, 100.0)
    peer = Peer()
    keepalive.add(peer, 100.0)
    keepalive.leave(peer)
    live(keepalive, peer, 100, 160)
    assert peer.pings == 0


def test_a_process_that_stood_still_calls_nobody_dead() -> None:
    """The answers to its pings wait to be read."""
    keepalive: Keepalive[Peer] = Keepalive(EVERY_S, 100.0)
    peer = Peer()
    keepalive.add(peer, 100.0)
    live(keepalive, peer, 100, 125, answers=False)
    assert list(keepalive.tick(158.0)) == []
    assert live(keepalive, peer, 158, 160, answers=False) == [peer]
