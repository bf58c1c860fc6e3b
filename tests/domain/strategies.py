"""Hypothesis strategies: zones, instants near clock changes, activities."""

from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from engage import programs
from engage.domain.activity import AnyActivity, AppSignIn, FuelTap, Registration, Review, Share
from engage.domain.program.program import Program

PRESETS: list[Program] = [programs.preset(name) for name in programs.names()]
# The presets with daily activities.
V2020, V2022, V2025 = EUROPE = [program for program in PRESETS if program.id == "eu-mi-points"]
PRESET_ZONES = sorted({market.zone for program in PRESETS for market in program.countries.values()})

# Zones with days that begin at 01:00, midnights that occur twice, a skipped day, half and quarter hours.
ODD_ZONES = [
    "Africa/Cairo",
    "Africa/Casablanca",
    "America/Havana",
    "America/Nuuk",
    "America/Santiago",
    "America/Sao_Paulo",
    "Antarctica/Troll",
    "Asia/Beirut",
    "Asia/Kathmandu",
    "Asia/Kolkata",
    "Atlantic/Azores",
    "Australia/Lord_Howe",
    "Etc/GMT+12",
    "Pacific/Apia",
    "Pacific/Kiritimati",
]
ZONES = [*PRESET_ZONES, *ODD_ZONES]

EPOCH = datetime(2011, 6, 1, tzinfo=UTC)
HORIZON = datetime(2037, 1, 1, tzinfo=UTC)


@cache
def clock_changes(zone: str) -> list[datetime]:
    """Return the instants between EPOCH and HORIZON, to the minute, at which the zone's offset changes."""
    changes, at = [], EPOCH
    while at < HORIZON:
        following = at + timedelta(days=1)
        if _offset(at, zone) != _offset(following, zone):
            low, high = at, following
            while high - low > timedelta(minutes=1):
                middle = low + (high - low) // 2
                low, high = (middle, high) if _offset(middle, zone) == _offset(low, zone) else (low, middle)
            changes.append(high.replace(second=0, microsecond=0))
        at = following
    return changes


def _offset(at: datetime, zone: str) -> timedelta | None:
    return at.astimezone(ZoneInfo(zone)).utcoffset()


def instants(since: datetime = EPOCH) -> st.SearchStrategy[datetime]:
    return st.datetimes(
        min_value=since.replace(tzinfo=None), max_value=HORIZON.replace(tzinfo=None), timezones=st.just(UTC)
    )


def instants_in(zone: str) -> st.SearchStrategy[datetime]:
    """Any instants, half of them within two days of a clock change."""
    changes = clock_changes(zone)
    if not changes:
        return instants()
    near = st.builds(
        lambda change, seconds: change + timedelta(seconds=seconds),
        st.sampled_from(changes),
        st.integers(-172_800, 172_800) | st.integers(-7_300, 7_300),
    )
    return near | instants()


@st.composite
def zoned_instants(draw: st.DrawFn) -> tuple[str, datetime]:
    zone = draw(st.sampled_from(ZONES))
    return zone, draw(instants_in(zone))


@st.composite
def journeys(draw: st.DrawFn, zone: str, *, most: int = 40) -> list[datetime]:
    """Instants in order, hours or days apart, often across a clock change."""
    at = draw(instants_in(zone))
    steps = draw(
        st.lists(
            st.sampled_from([1, 7, 11, 17, 22, 23, 24, 25, 26, 47, 48, 49]) | st.integers(0, 24 * 40),
            max_size=most,
        )
    )
    times = [at]
    for hours in steps:
        at += timedelta(hours=hours)
        times.append(at)
    return times


products = st.sampled_from(["mi-band-7", "redmi-note-11", "x:y", "é"])
references = st.none() | st.sampled_from(["1", "2", "3", "4", "5"])
activities: st.SearchStrategy[AnyActivity] = st.one_of(
    st.just(FuelTap()),
    st.just(Registration()),
    st.builds(AppSignIn),
    st.builds(
        Share,
        kind=st.sampled_from(["social", "link"]),
        product_id=products,
        network=st.none() | st.just("instagram"),
        share_id=references,
    ),
    st.builds(Review, product_id=products, review_id=st.sampled_from(["1", "2", "3", "4", "5"])),
)
