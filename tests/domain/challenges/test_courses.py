"""Editions of a challenge: what runs under which, and until when."""

from datetime import UTC, datetime

from tests.domain.challenges.challenges import ZONE, challenge, course, days

FIRST = challenge(repeats="weekly")
SECOND = challenge(repeats="weekly", steps=[{"at": 1, "points": 1}])


def versions(of: object, *moments: float) -> list[list[str]]:
    return [[run.version for run in of.runs_at(days(at), ZONE)] for at in moments]  # type: ignore[attr-defined]


def test_a_running_period_goes_on_under_the_edition_that_it_began_with() -> None:
    both = course((days(-30), FIRST), (days(2), SECOND))
    assert versions(both, 1, 3, 6, 7, 8) == [["#1"], ["#1"], ["#1"], ["#2"], ["#2"]]


def test_the_first_period_begins_when_the_challenge_does() -> None:
    one = course((days(2), FIRST))
    assert versions(one, 1.9, 2, 3) == [[], ["#1"], ["#1"]]
    (run,) = one.runs_at(days(3), ZONE)
    assert run.begins_at == days(2)
    assert run.ends_at == datetime(2026, 11, 22, 23, tzinfo=UTC)  # The end of the week in Madrid.


def test_an_edition_that_had_not_begun_is_replaced() -> None:
    later = challenge(**{"from": "2026-11-20T00:00:00"})
    now = challenge(steps=[{"at": 1, "points": 1}])
    assert versions(course((days(0), later), (days(1), now)), 0.5, 2, 10) == [[], ["#2"], ["#2"]]


def test_a_challenge_without_periods_goes_on_as_it_began() -> None:
    both = course((days(0), challenge()), (days(1), challenge(steps=[{"at": 1, "points": 1}])))
    assert versions(both, 0, 2, 100) == [["#1"], ["#1"], ["#1"]]


def test_a_later_edition_can_end_a_run_but_not_in_the_past() -> None:
    ended = challenge(until="2026-11-01T00:00:00")
    both = course((days(0), challenge()), (days(3), ended))
    assert versions(both, 2, 3) == [["#1"], []]
    (run,) = both.runs_at(days(2), ZONE)
    assert run.ends_at == days(3)
    assert both.last_run(days(9), ZONE) == run


def test_a_later_edition_can_make_a_run_longer() -> None:
    short = challenge(until="2026-11-17T00:00:00")
    longer = challenge(until="2026-11-30T00:00:00")
    both = course((days(0), short), (days(0.25), longer))
    assert versions(both, 0, 5) == [["#1"], ["#1"]]


def test_what_is_over_is_not_continued() -> None:
    """A later edition begins a run of its own only where there was none."""
    short = challenge(until="2026-11-17T00:00:00")
    both = course((days(0), short), (days(5), challenge()))
    assert versions(both, 0, 3, 6) == [["#1"], [], []]
    run = both.last_run(days(9), ZONE)
    assert run is not None
    assert run.version == "#1"


def test_a_challenge_that_is_in_no_document_any_more_ends() -> None:
    gone = course((days(0), FIRST), (days(9), None))
    assert versions(gone, 8, 9, 20) == [["#1"], [], []]
    run = gone.last_run(days(20), ZONE)
    assert run is not None
    assert (run.label, run.ends_at) == ("2026-W48", days(9))


def test_the_periods_of_a_new_kind_begin_beside_those_that_run() -> None:
    both = course((days(-30), FIRST), (days(2), challenge(repeats="daily")))
    labels = [run.label for run in both.runs_at(days(3), ZONE)]
    assert sorted(labels) == ["2026-11-19", "2026-W47"]
    assert [run.label for run in both.runs_at(days(8), ZONE)] == ["2026-11-24"]


def test_the_last_run_is_shown_after_the_end() -> None:
    one = course((days(0), challenge(until="2026-11-20T00:00:00")))
    run = one.last_run(days(30), ZONE)
    assert run is not None
    assert run.label == "ever"
    assert one.last_run(days(-1), ZONE) is None


def test_days_are_those_of_the_zone_across_a_change_of_clocks() -> None:
    daily = course((datetime(2026, 1, 1, tzinfo=UTC), challenge(repeats="daily")))
    (run,) = daily.runs_at(datetime(2026, 10, 25, 10, tzinfo=UTC), ZONE)
    assert (run.ends_at - run.begins_at).total_seconds() == 25 * 3600
