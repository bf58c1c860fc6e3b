"""Random orders, returns, spending and expiration in each program leave the ledger as the reference model.

Events come in any order, twice and concurrently, and the clock jumps over years. The balance, the coupons and
the next expirations are compared after every step; every scenario ends with a clean audit.
"""

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

from engage.settings import Settings
from tests.properties.reference_model import SHOPS, Line
from tests.properties.shop_scenario import ShopScenario, services_with_presets
from tests.support.blocking import BlockingServices, blocking
from tests.support.generated_cases import cases

SCENARIOS = 18
STEPS = 25

# Around the lengths of holds, deliveries, graces and the years that points last.
WAITS = [
    timedelta(minutes=1),
    timedelta(minutes=30),
    timedelta(hours=14),
    timedelta(days=1),
    timedelta(days=29, hours=23),
    timedelta(days=190),
    timedelta(days=365),
]

# Minor units that earn whole points and leave remainders in every program.
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
# Most of what the shop reports has just happened.
late = st.sampled_from([timedelta(days=days) for days in (0, 0, 0, 1, 40, 400)])


class ShopMachine(RuleBasedStateMachine):
    blocking: BlockingServices
    program: str

    def __init__(self) -> None:
        super().__init__()
        self.drawn: ShopScenario | None = None

    @property
    def scenario(self) -> ShopScenario:
        assert self.drawn is not None
        return self.drawn

    @initialize()
    def join(self) -> None:
        self.drawn = ShopScenario(self.blocking, self.program)

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
        self.scenario.pay(
            lines, shipping=shipping, channel=channel, method=method, points=points, early=early, back=back
        )

    @rule(
        lines=lines,
        days=st.sampled_from([366, 800]),
        spent=st.sampled_from([0, 1_000_000]),
        whole=st.booleans(),
    )
    def return_late(self, lines: list[Line], days: int, spent: int, whole: bool) -> None:
        """Return an order after its points expired, or were spent on another one."""
        channel = min(self.scenario.shop.channels)
        self.scenario.pay(lines, shipping=0, channel=channel, method="card", points=0, early=True)
        number = len(self.scenario.orders) - 1
        self.scenario.wait(timedelta(days=1))
        if spent:
            paid = [Line(50_000, 2, 1, False)]
            self.scenario.pay(paid, shipping=0, channel=channel, method="card", points=spent, early=False)
        self.scenario.wait(timedelta(days=days))
        self.scenario.give_back(number, [9, 9, 9] if whole else [1, 1, 1])

    @rule(lines=lines, shipping=shipping, points=st.sampled_from([1, 3, 1_000_000]), released=st.booleans())
    def put_aside(self, lines: list[Line], shipping: int, points: int, released: bool) -> None:
        """Hold points, and release them or leave them to the time-out."""
        self.scenario.put_aside(lines, shipping, points, released=released)

    @rule()
    def redeem(self) -> None:
        self.scenario.redeem()

    @precondition(lambda self: self.scenario.orders)
    @rule(number=st.integers(0, 9), late=late)
    def deliver(self, number: int, late: timedelta) -> None:
        self.scenario.deliver(number, late=late)

    @precondition(lambda self: self.scenario.orders)
    @rule(number=st.integers(0, 9), late=late)
    def cancel(self, number: int, late: timedelta) -> None:
        self.scenario.cancel(number, late=late)

    @precondition(lambda self: self.scenario.orders)
    @rule(
        number=st.integers(0, 9),
        pieces=st.lists(st.integers(0, 4), min_size=3, max_size=3),
        together=st.booleans(),
    )
    def give_back(self, number: int, pieces: list[int], together: bool) -> None:
        self.scenario.give_back(number, pieces, together=together)

    @rule(by=st.sampled_from(WAITS))
    def wait(self, by: timedelta) -> None:
        self.scenario.wait(by)

    def teardown(self) -> None:
        # After a failed step there is nothing to compare.
        if self.drawn is not None and sys.exc_info()[0] is None:
            self.drawn.close()


@pytest.mark.parametrize("program", SHOPS)
def test_the_ledger_of_a_program_is_as_in_the_reference_model(
    services: BlockingServices, program: str
) -> None:
    # A class for each program, as the fixed cases follow from its name.
    name = program.title().replace("-", "")
    machine = type(name, (ShopMachine,), {"blocking": services, "program": program})
    run_state_machine_as_test(
        machine,
        settings=hypothesis_settings(
            max_examples=cases(SCENARIOS), stateful_step_count=STEPS, suppress_health_check=list(HealthCheck)
        ),
    )


@pytest.mark.parametrize("days", [365, 800])
def test_an_order_that_moves_up_long_after_its_delivery_is_paid_as_of_then(
    services: BlockingServices, days: int
) -> None:
    scenario = ShopScenario(services, "in-mi-tokens")
    for _ in range(6):
        paid = [Line(90_000, 2)]
        scenario.pay(paid, shipping=0, channel="app", method="card", points=0, early=True)
    scenario.wait(timedelta(days=days))
    scenario.cancel(2)
    scenario.give_back(5, [1])
    scenario.wait(timedelta(days=365))
    scenario.close()


@pytest.fixture
def services(own_database: Settings) -> Iterator[BlockingServices]:
    with blocking(services_with_presets(own_database)) as opened:
        yield opened
