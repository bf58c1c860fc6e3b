"""Sound documents made wrong in one place: a field is left out, added, copied, or has another value."""

from copy import deepcopy
from typing import Any

from hypothesis import strategies as st

VALUES: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.dates(),
    st.datetimes(),
    st.times(),
    st.text(max_size=3),
    st.sampled_from(
        [
            *("once", "same_as", "fuel", "share", "link", "GB", "P1D", "-P1D", "never", "every_nth_day"),
            *("order", "o-1", "on_delivery", "max", "spend", "capture", "store", "five_euros", "coupon"),
        ]
    ),
    st.just([]),
    st.just({}),
    st.just({"type": "once"}),
    st.just([{"type": "fixed", "points": 1}]),
)

# What JSON has for them, and what only an attacker writes.
JSON_VALUES: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=3),
    st.sampled_from(
        [
            *(0, -1, 2**31, 2**63 - 1, -(2**63), 2**64, 10**300, 1e-300, 1.5, "", "\0", "a\nb", "x" * 5_000),
            *("0001-01-01T00:00:00", "9999-12-31T23:59:59", "2026-03-29T02:30:00", "2026-02-30T00:00:00"),
            *("2026-11-21T12:00:00+23:59", "9999-12-31T23:59:59-23:59", "P999999D", "-PT1S", "PT0S", "24:00"),
            *(
                "1/0",
                "0/1",
                "1/1000000000",
                "Europe/Nowhere",
                "../../etc/passwd",
                "en",
                "ES",
                "weekly",
                "once",
            ),
        ]
    ),
    st.just([]),
    st.just({}),
    st.just({"kind": "all_of", "goals": []}),
    st.just({"en": ""}),
)


def spoil(document: dict[str, Any], drawn: st.DataObject, values: st.SearchStrategy[Any] = VALUES) -> None:
    """Change one place of a document."""
    place: Any = document
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            return
        key = drawn.draw(st.sampled_from(keys))
        if not isinstance(place[key], (dict, list)) or drawn.draw(st.integers(0, 3)) == 0:
            break
        place = place[key]
    match drawn.draw(st.sampled_from(["drop", "put", "add", "copy"])):
        case "drop":
            del place[key]
        case "put":
            place[key] = deepcopy(drawn.draw(values))
        case "copy" if isinstance(place, list):
            place.append(deepcopy(place[key]))
        case _ if isinstance(place, dict):
            name = drawn.draw(st.text(max_size=3) | st.sampled_from(["kind", "rule", "FR"]))
            place[name] = deepcopy(drawn.draw(values))
        case _:
            place.append(deepcopy(drawn.draw(values)))
