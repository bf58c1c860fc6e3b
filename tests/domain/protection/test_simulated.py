"""Examples say where a step comes from, and by which velocity rules its points are held."""

import pytest

from engage.domain.document.errors import DocumentError
from engage.domain.playback import examples
from engage.domain.program.parse import parse
from engage.domain.program.program import Program
from tests.support.protection import document

VELOCITY = """
[[protection.velocity]]
id = "ring"
per = "device"
counts = "members"
at_most = 3
per_window = "day"
hold = "P3D"
attested = false

[[protection.velocity]]
id = "crowd"
per = "network"
counts = "activities"
at_most = 2
per_window = "month"
hold = "P1D"
on = ["share", "review"]
"""

EXAMPLE = """
[[examples]]
title = "Held"
country = "ES"
"""


def step(at: str, do: str, expected: str, origin: str = "") -> str:
    came = f"origin = {{ {origin} }}\n" if origin else ""
    return f"[[examples.steps]]\nat = {at}\ndo = {{ {do} }}\n{came}{expected}\n"


def tap(expected: str, origin: str, *, day: int = 2) -> str:
    return step(f"2026-03-0{day}T10:00:00", 'activity = "fuel_tap"', expected, origin)


def program(*steps: str) -> Program:
    return parse(document(VELOCITY, more=EXAMPLE + "".join(steps)), source="test")


def failures(*steps: str) -> list[tuple[str, str]]:
    return [(failure.expected, failure.found) for failure in examples.check(program(*steps))]


EARNS = 'earns = [{ rule = "fuel", points = 2 }]'
OTHERS = 'device = "tablet", others = 3'


def test_a_hold_that_is_not_expected_fails_and_one_that_is_missing_too() -> None:
    assert failures(tap(f"{EARNS}\nheld = {{ by = [] }}", OTHERS)) == [("held by nothing", "held by ring")]
    expected = f'{EARNS}\nheld = {{ by = ["ring"] }}'
    assert failures(tap(expected, 'device = "tablet", others = 2')) == [("held by ring", "held by nothing")]
    assert failures(tap(expected, OTHERS)) == []
    attested = 'device = "tablet", attested = true, others = 3'
    assert failures(tap(f"{EARNS}\nheld = {{ by = [] }}", attested)) == []


def test_what_a_refused_step_would_have_taken_is_free() -> None:
    """A network has two places in a month: the second share is refused, and takes none."""
    share = 'activity = "share", kind = "link", product_id = "band", share_id = "s-{}"'
    network = 'network = "café"'
    free = 'earns = [{ rule = "share", points = 10 }]\nheld = { by = [] }'
    assert (
        failures(
            step("2026-03-02T10:00:00", share.format(1), free, network),
            step("2026-03-02T10:01:00", share.format(1), free, network),
            step("2026-03-02T10:02:00", share.format(2), free, network),
            step("2026-03-31T10:00:00", share.format(3), free.replace("[] }", '["crowd"] }'), network),
            step("2026-04-01T10:00:00", share.format(4), free, network),
        )
        == []
    )


def test_points_that_wait_for_a_confirmation_are_due_by_the_longest_hold_after_it() -> None:
    review = 'activity = "review", product_id = "p", review_id = "r"'
    origin = 'device = "tablet", network = "café", others = 3'
    earns = 'earns = [{ rule = "review", points = 20, waits_for = "confirmation" }]'
    assert (
        failures(
            step("2026-03-02T10:00:00", review, f'{earns}\nheld = {{ by = ["ring", "crowd"] }}', origin),
            step(
                "2026-03-03T10:00:00",
                'activity = "review_published", review_id = "r"',
                "balance = { pending = 20 }",
            ),
            step("2026-03-06T09:59:59", 'activity = "wait"', "balance = { pending = 20 }"),
            step("2026-03-06T10:00:00", 'activity = "wait"', "balance = { active = 20 }"),
        )
        == []
    )


@pytest.mark.parametrize(
    ("step_text", "problem"),
    [
        (tap(EARNS, "others = 3"), "origin: expected a device or a network, got neither"),
        (
            tap(EARNS, 'network = "café", attested = true'),
            "origin.attested: expected a device beside it, got none",
        ),
        (
            tap(f'{EARNS}\nheld = {{ by = ["rings"] }}', OTHERS),
            'held.by[0]: expected the id of a velocity rule, got "rings" (did you mean ring?)',
        ),
        (
            tap(f"{EARNS}\nheld = {{ by = [] }}", ""),
            "held: expected an origin of the step beside it, got none",
        ),
        (
            step("2026-03-02T10:00:00", 'activity = "wait"', "balance = {}", OTHERS),
            "origin: expected none: wait does not come from the app, got one",
        ),
    ],
)
def test_an_origin_that_says_nothing_is_refused(step_text: str, problem: str) -> None:
    with pytest.raises(DocumentError) as error:
        program(step_text)
    assert [str(each) for each in error.value.problems] == [f"examples[0].steps[0].{problem}"]


def test_a_member_keeps_a_place_until_the_window_ends_whoever_comes_later() -> None:
    free = f"{EARNS}\nheld = {{ by = [] }}"
    shared = 'earns = [{ rule = "share", points = 10 }]\nheld = { by = [] }'
    share = 'activity = "share", kind = "link", product_id = "band"'
    steps = (
        tap(free, 'device = "tablet", others = 2'),
        step("2026-03-02T11:00:00", share, shared, 'device = "tablet", others = 500'),
        tap(f'{EARNS}\nheld = {{ by = ["ring"] }}', OTHERS, day=3),
    )
    assert failures(*steps) == []
