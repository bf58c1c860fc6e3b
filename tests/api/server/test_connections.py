"""Too many connections: the oldest silent ones of the greediest address are closed."""

from hypothesis import given
from hypothesis import strategies as st

from engage.api.server.connections import Client, Limits, Seen, beyond


def seen(address: str, port: int, *, quiet_ms: int = 0) -> Seen:
    return Seen(fd=port, client=(address, str(port)), quiet_ms=quiet_ms, sent=2)


def silent(*connections: Seen, since: float = 0.0) -> dict[tuple[Client, int], float]:
    return {(each.client, each.sent): since for each in connections}


def test_the_oldest_silent_connections_of_an_address_are_closed_first() -> None:
    old, trickling, young = (seen("10.0.0.1", port, quiet_ms=ms) for port, ms in ((1, 9_000), (2, 1), (3, 5)))
    other = seen("10.0.0.2", 4, quiet_ms=60_000)
    since = silent(old, trickling, since=1.0) | silent(young, since=2.0) | silent(other, since=0.0)
    connections = [young, trickling, other, old]
    assert beyond(Limits(per_address=3, total=9), connections, since) == []
    assert beyond(Limits(per_address=2, total=9), connections, since) == [old]
    assert beyond(Limits(per_address=1, total=9), connections, since) == [old, trickling], (
        "a byte now and then makes a silence no shorter"
    )


def test_a_connection_that_waits_for_its_answer_is_never_closed() -> None:
    working = [seen("10.0.0.1", port) for port in range(1, 6)]
    idle = seen("10.0.0.1", 6)
    assert beyond(Limits(per_address=2, total=9), [*working, idle], silent(idle)) == [idle]


def test_addresses_of_one_ipv6_network_are_one() -> None:
    near = [seen(f"2001:db8::{n}", n) for n in range(1, 4)]
    far = seen("2001:db8:0:1::1", 9)
    excess = beyond(Limits(per_address=2, total=9), [*near, far], silent(*near, far))
    assert [each.client[0] for each in excess] == ["2001:db8::1"]


def test_where_there_are_too_many_in_all_the_greediest_address_loses_most() -> None:
    many = [seen("10.0.0.1", port) for port in range(1, 41)]
    few = [seen(f"10.0.1.{n}", 100 + n) for n in range(10)]
    excess = beyond(Limits(per_address=50, total=30), [*few, *many], silent(*few, *many))
    assert {each.client[0] for each in excess} == {"10.0.0.1"}
    assert 50 - len(excess) <= 30


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.integers(0, 9)), max_size=60))
def test_the_limits_hold_for_all_but_requests_in_progress(listed: list[tuple[int, bool, int]]) -> None:
    limits = Limits(per_address=7, total=20)
    connections = [seen(f"10.0.0.{address}", port) for port, (address, _, _) in enumerate(listed)]
    since = {
        (each.client, each.sent): float(begun)
        for each, (_, is_silent, begun) in zip(connections, listed, strict=True)
        if is_silent
    }
    excess = beyond(limits, connections, since)
    assert all((each.client, each.sent) in since for each in excess)
    left = [each for each in connections if each not in excess]
    for address in {each.client[0] for each in left}:
        group = [each for each in left if each.client[0] == address]
        assert len(group) <= 7 or not any((each.client, each.sent) in since for each in group)
