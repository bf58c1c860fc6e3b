"""How much is measured. The defaults take about twelve minutes in all on two cores."""

from msgspec import Struct


class Sizes(Struct, frozen=True, kw_only=True):
    rounds: int = 5  # Of each thing that is compared, in turn.
    connections: int = 64  # Of the load client, one request under way on each.
    taps: int = 12_000  # In a round.
    credits: int = 20_000  # In a round of settlement.
    singles: int = 500  # Settled one by one, in a round.
    backlog: int = 200_000
    workers: int = 2  # That settle the backlog.
    sockets: int = 2_000  # That are pushed to.
    pushes: int = 200_000  # In a round.
    idle: int = 5_000  # Connections that only are there.
    idle_s: float = 25.0  # Longer than the feed's keepalive, so that each has been pinged.
    rate: int = 1_000  # Taps a second for lateness.
    seconds: int = 60
    delay_s: int = 5  # Until the points of these taps are due.
    members: int = 1_000_000  # That the gate knows.
    claims: int = 50_000
    orders: int = 5_000  # In a round, each paid, delivered and returned.
    lots: int = 1_000_000  # That end at one instant.
    payments: int = 4_000  # Orders paid with points, in a round.
