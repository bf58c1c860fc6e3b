"""The amounts that benchmarks measure. With the defaults all take about fifteen minutes on two cores."""

from msgspec import Struct


class Sizes(Struct, frozen=True, kw_only=True):
    rounds: int = 5  # Of each implementation that is compared.
    connections: int = 64  # Of the load client, with one request at a time on each.
    taps: int = 12_000  # In a round.
    credits: int = 20_000  # In a round of settlement.
    singles: int = 500  # Settled, or sent as events, one by one in a round.
    backlog: int = 200_000
    workers: int = 2  # Worker processes that settle the backlog or end the lots.
    sockets: int = 2_000  # Websockets that receive pushes.
    pushes: int = 200_000  # In a round.
    idle: int = 5_000  # Idle websockets.
    idle_s: float = 25.0  # Longer than the feed's keepalive interval, so that each was pinged.
    apps: int = 10_000  # With a websocket each, on one feed process.
    minutes: float = 60.0  # Of the soak.
    load: float = 0.5  # In this time, as a share of what the machine can do.
    rate: int = 1_000  # Taps a second for lateness.
    seconds: int = 60
    delay_s: int = 5  # From these taps until their points are due.
    members: int = 1_000_000  # Loaded into the gate, known to the console, or in the books.
    claims: int = 50_000
    orders: int = 5_000  # In a round, each paid, delivered and returned.
    lots: int = 1_000_000  # That expire at one instant.
    ranked: int = 1_000_000  # Members on a leaderboard.
    placed: int = 1_000  # Of these, who ask for their place.
    listed: int = 1_000_000  # Ids in the list of a segment.
    screens: int = 6_000  # Home screens in a round, of each kind.
    sized: int = 10_000  # Members who tap once a day.
    days: int = 8
    population: tuple[int, ...] = (10_000, 1_000_000)  # Members of each installation.
    credits_each: int = 5  # Settled, of each of them.
    visits: int = 1_000  # Of members in a round.
    quizzes: int = 4_000  # In a round, each begun and answered.
    activities: int = 1_000_000  # Of the past, on which a draft is tried.
    payments: int = 4_000  # Orders paid with points, in a round.
    campaigns: int = 100  # That run at once, of all kinds.
    pages: int = 20  # Requests of each page of the console.
