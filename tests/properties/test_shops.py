"""Orders, returns, spending and the end of points in each program: what the ledger has is what a page of
plain Python has, whatever happens, in whatever order, told twice or at once, the clock jumping over years.

After every step the balance and what expires next are compared; after every life the audit is clean.
"""

import asyncio
import sys
from collections.abc import Iterator
from datetime import timedelta

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from engage.flows.operations.install import install
from engage.runtime.services import open_services
from engage.settings import Settings
from tests.properties.plain import SHOPS, Line
from tests.properties.street import Street, TravellingClock, World

LIVES = 18
STEPS = 25

# Minutes, the half hour of a hold, days, a grace, and the years that points last.
WAITS = [
    timedelta(minutes=1),
    timedelta(minutes=30),
    timedelta(hours=14),
    timedelta(days=1),
    timedelta(days=29, hours=23),
    timedelta(days=190),
    timedelta(days=365),
]

# Minor units that make whole points and rests of them in every program.
AMOUNTS = [1, 99, 1_999, 5_050, 33_333, 90_000, 250_000]

line = st.builds(
    Line,
    paid=st.sampled_from(AMOUNTS),
    quantity=st.integers(1, 4),
    tag=st.integers(0, 9),
    promotion=st.booleans(),
)
lines = st.lists(line, min_size=1, max_size=3)
channel = st.sampled_from(["web", "app", "store", "store"])
method = st.sampled_from(["card", "card", "instalments"])
shipping = st.sampled_from([0, 5_000, 10_001])


class Lives(RuleBasedStateMachine):
    world: World
    program: str

    def __init__(self) -> None:
        super().__init__()
        self.street: Street | None = None

    @property
    def here(self) -> Street:
        assert self.street is not None
        return self.street

    @initialize()
    def join(self) -> None:
        self.street = Street(self.world, self.program)

    @rule(
        lines=lines,
        shipping=shipping,
        channel=channel,
        method=method,
        points=st.sampled_from([0, 1, 7, 1_000_000]),
        early=st.booleans(),
        back=st.sampled_from([(), (), (1,), (0, 2), (9, 0, 1), (9, 9, 9)]),
    )
    def pay(
        self,
        lines: list[Line],
        shipping: int,
        channel: str,
        method: str,
        points: int,
        early: bool,
        back: tuple[int, ...],
    ) -> None:
        self.here.pay(
            lines, shipping=shipping, channel=channel, method=method, points=points, early=early, back=back
        )

    @rule(
        lines=lines,
        days=st.sampled_from([366, 800]),
        spent=st.sampled_from([0, 1_000_000]),
        whole=st.booleans(),
    )
    def regret_late(self, lines: list[Line], days: int, spent: int, whole: bool) -> None:
        """An order comes back when its points have ended, or were spent on another."""
        channel = min(self.here.shop.channels)
        self.here.pay(lines, shipping=0, channel=channel, method="card", points=0, early=True)
        number = len(self.here.orders) - 1
        self.here.wait(timedelta(days=1))
        if spent:
            paid = [Line(50_000, 2, 1, False)]
            self.here.pay(paid, shipping=0, channel=channel, method="card", points=spent, early=False)
        self.here.wait(timedelta(days=days))
        self.here.give_back(number, [9, 9, 9] if whole else [1, 1, 1])

    @rule(lines=lines, shipping=shipping, points=st.sampled_from([1, 3, 1_000_000]), let_go=st.booleans())
    def put_aside(self, lines: list[Line], shipping: int, points: int, let_go: bool) -> None:
        """A hold that is released, or left until its time is over."""
        self.here.put_aside(lines, shipping, points, let_go=let_go)

    @rule()
    def redeem(self) -> None:
        self.here.redeem()

    @precondition(lambda self: self.here.orders)
    @rule(number=st.integers(0, 9))
    def deliver(self, number: int) -> None:
        self.here.deliver(number)

    @precondition(lambda self: self.here.orders)
    @rule(number=st.integers(0, 9))
    def cancel(self, number: int) -> None:
        self.here.cancel(number)

    @precondition(lambda self: self.here.orders)
    @rule(
        number=st.integers(0, 9),
        pieces=st.lists(st.integers(0, 4), min_size=3, max_size=3),
        together=st.booleans(),
    )
    def give_back(self, number: int, pieces: list[int], together: bool) -> None:
        self.here.give_back(number, pieces, together=together)

    @rule(by=st.sampled_from(WAITS))
    def wait(self, by: timedelta) -> None:
        self.here.wait(by)

    def teardown(self) -> None:
        # What went wrong before has been found.
        if self.street is not None and sys.exc_info()[0] is None:
            self.street.close()


@pytest.mark.parametrize("program", SHOPS)
def test_every_point_of_a_program_goes_as_the_model_says(world: World, program: str) -> None:
    Lives.world, Lives.program = world, program
    run_state_machine_as_test(
        Lives,
        settings=hypothesis_settings(
            max_examples=LIVES,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
        ),
    )


@pytest.fixture
def world(own_database: Settings) -> Iterator[World]:
    """Its loop runs only while something is asked."""
    loop = asyncio.new_event_loop()
    context = open_services(own_database, TravellingClock())
    try:
        loop.run_until_complete(install(own_database))
        services = loop.run_until_complete(context.__aenter__())
        loop.run_until_complete(services.programs.refresh(services.db))
        yield World(own_database, services, loop)
        loop.run_until_complete(context.__aexit__(None, None, None))
    finally:
        loop.close()
