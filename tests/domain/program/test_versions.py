"""Versions of a program: the one in force, and their conflicts."""

from datetime import date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from engage.domain.calendar import start_of_day
from engage.domain.earning.awards import Fixed
from engage.domain.earning.limits import Once
from engage.domain.market import Market
from engage.domain.program.program import Program
from engage.domain.program.versions import conflicts, first_day, four_eyes, in_force, point_rate
from engage.domain.rewards.definition import CouponReward, FCodeReward
from tests.domain.strategies import EUROPE, V2020, V2022, instants

# Names with the same short codes, of 16 bits, as `fuel` and as each other.
TWIN_OF_FUEL = "fuel_137240"
COUNTRIES = sorted(V2022.countries)
ZONE_TWINS = "Africa/Tripoli", "Asia/Riyadh"


def _name(program: Program | None) -> str | None:
    return program.version if program else None


@pytest.mark.parametrize(
    ("at", "country", "version"),
    [
        ("2020-05-03T21:59:59Z", "ES", None),
        ("2020-05-03T22:00:00Z", "ES", "2020"),  # Midnight in Madrid.
        ("2020-05-03T22:00:00Z", "GB", None),
        ("2020-05-03T23:00:00Z", "GB", "2020"),  # Midnight in London.
        ("2022-08-31T21:59:59Z", "IT", "2020"),
        ("2022-08-31T22:00:00Z", "IT", "2022"),
        ("2022-08-31T22:00:00Z", "GB", "2020"),
        ("2022-08-31T23:00:00Z", "GB", "2022"),
        ("2021-01-01T00:00:00Z", "NL", None),  # The Netherlands and Germany joined in 2022.
        ("2022-08-31T22:00:00Z", "NL", "2022"),
        ("2099-01-01T00:00:00Z", "DE", "2022"),
        ("2022-11-21T00:00:00Z", "BF", None),
    ],
)
def test_a_version_begins_at_midnight_of_each_country(at: str, country: str, version: str | None) -> None:
    moment = datetime.fromisoformat(at)
    assert _name(in_force([V2020, V2022], moment, country)) == version
    assert _name(in_force([V2022, V2020], moment, country)) == version


def test_a_country_that_a_newer_version_leaves_out_keeps_the_older_one() -> None:
    only_gb = replace(
        V2022, version="2023-gb", in_force_from=date(2023, 1, 1), countries={"GB": V2022.countries["GB"]}
    )
    later = datetime.fromisoformat("2023-06-01T00:00:00Z")
    assert _name(in_force([V2020, V2022, only_gb], later, "GB")) == "2023-gb"
    assert _name(in_force([V2020, V2022, only_gb], later, "ES")) == "2022"


def test_of_two_versions_with_one_first_day_the_later_published_is_in_force() -> None:
    corrected = replace(V2022, version="2022-b")
    at = datetime.fromisoformat("2022-11-21T00:00:00Z")
    assert _name(in_force([V2020, V2022, corrected], at, "ES")) == "2022-b"


def test_without_versions_no_program_is_in_force() -> None:
    assert in_force([], datetime.fromisoformat("2022-11-21T00:00:00Z"), "ES") is None


@given(
    st.lists(st.dates(date(2012, 1, 1), date(2030, 12, 31)), unique=True, max_size=6),
    instants(),
    st.permutations(range(6)),
)
def test_the_newest_version_that_has_begun_is_in_force(
    days: list[date], at: datetime, order: list[int]
) -> None:
    versions = [replace(V2022, version=f"v{n}", in_force_from=day) for n, day in enumerate(days)]
    shuffled = [versions[n] for n in order if n < len(versions)]
    today = at.date()  # In UTC. The date in Madrid differs by at most a day.
    found = in_force(shuffled, at, "ES")
    if found is None:
        assert all(day >= today - timedelta(days=1) for day in days)
    else:
        assert found.in_force_from <= today + timedelta(days=1)
        assert not any(found.in_force_from < day < today - timedelta(days=1) for day in days)


@given(
    now=instants(),
    earlier=instants(),
    begins=st.dates(date(2012, 1, 1), date(2030, 12, 31)),
    countries=st.sets(st.sampled_from(COUNTRIES), min_size=1),
)
def test_a_version_that_may_be_published_changes_nothing_before(
    now: datetime, earlier: datetime, begins: date, countries: set[str]
) -> None:
    """Whatever the zones of its countries: the rules and the worth of every instant until now stay."""
    markets = {country: V2022.countries[country] for country in countries}
    new = replace(V2022, version="new", countries=markets, worth=None)
    new = replace(new, in_force_from=max(begins, first_day(new, after=now)))
    before, after = [V2020, V2022], sorted([V2020, V2022, new], key=lambda version: version.in_force_from)
    for at in (now, min(earlier, now)):
        for country in COUNTRIES:
            assert in_force(after, at, country) is in_force(before, at, country)
            assert point_rate(after, at, country) == point_rate(before, at, country)


@given(instants())
def test_the_first_day_begins_later_and_the_day_before_does_not(now: datetime) -> None:
    day = first_day(V2022, after=now)
    zones = [market.zone for market in V2022.countries.values()]
    assert all(start_of_day(day, zone) > now for zone in zones)
    assert any(start_of_day(day - timedelta(days=1), zone) <= now for zone in zones)


def test_the_presets_can_follow_each_other() -> None:
    assert conflicts(EUROPE) == []


def test_a_version_that_cannot_follow_lists_its_conflicts() -> None:
    rules = [replace(rule, limit=Once()) if rule.id == "share_social" else rule for rule in V2022.rules]
    rules = [
        replace(rule, id="app_sign_in" if rule.id == "registration" else "registration")
        if rule.id in ("registration", "app_sign_in")
        else rule
        for rule in rules
    ]
    wrong = replace(V2022, version="2020", in_force_from=V2020.in_force_from, rules=rules)
    found = conflicts([V2020, wrong])
    assert all(version is wrong for version, _ in found)
    assert [str(problem) for _, problem in found] == [
        'version: expected a unique version name, got "2020" twice',
        "in_force_from: expected another first day, got 2020-05-04, that of version 2020",
        "rules[0].on.activity: expected app_sign_in as in version 2020, or a new id for a new rule, "
        'got "registration"',
        "rules[1].on.activity: expected registration as in version 2020, or a new id for a new rule, "
        'got "app_sign_in"',
        'rules[3].limit.type: expected per_window as in version 2020, or a new id for a new rule, got "once"',
    ]


def test_a_reward_keeps_its_type() -> None:
    coupon = V2022.rewards[0]
    right = FCodeReward(id=coupon.id, title=coupon.title, points=coupon.points, product_id="mi-band-7")
    found = conflicts([V2020, replace(V2022, rewards=[right, *V2022.rewards[1:]])])
    assert [str(problem) for _, problem in found] == [
        'rewards[0].type: expected coupon as in version 2020, or a new id for a new reward, got "f_code"'
    ]
    dearer = replace(coupon, points=coupon.points * 2) if isinstance(coupon, CouponReward) else coupon
    assert conflicts([V2020, replace(V2022, rewards=[dearer, *V2022.rewards[1:]])]) == []


def test_a_rule_may_change_its_award() -> None:
    rules = [replace(r, award=Fixed(points=9)) if r.id == "purchase" else r for r in V2022.rules]
    assert conflicts([V2020, replace(V2022, rules=rules)]) == []


def test_versions_must_not_share_short_codes_between_rules_or_zones() -> None:
    rules = [replace(rule, id=TWIN_OF_FUEL) if rule.id == "fuel" else rule for rule in V2022.rules]
    countries = V2022.countries | {"PT": Market(zone=ZONE_TWINS[1], currency="EUR")}
    earlier = replace(V2020, countries=V2020.countries | {"PT": Market(zone=ZONE_TWINS[0], currency="EUR")})
    found = conflicts([earlier, replace(V2022, rules=rules, countries=countries)])
    assert [problem.path for _, problem in found] == ["rules[6].id", "countries.PT.zone"]


def test_four_eyes_are_needed_where_one_country_wants_them() -> None:
    lax = replace(V2022, four_eyes=False)
    only_gb = replace(
        lax, version="2023-gb", in_force_from=date(2023, 1, 1), countries={"GB": V2022.countries["GB"]}
    )
    before, between, later = (
        datetime.fromisoformat(f"{year}-06-01T00:00:00Z") for year in (2019, 2021, 2023)
    )
    assert four_eyes([V2022], later), "unless a program says otherwise"
    assert not four_eyes([lax], later)
    assert four_eyes([V2020, lax], between)
    assert not four_eyes([V2020, lax], later)
    assert four_eyes([V2022, only_gb], later), "in Spain"
    assert not four_eyes([lax, only_gb], before)
    assert four_eyes([lax, V2020], before), "nothing is in force yet"
