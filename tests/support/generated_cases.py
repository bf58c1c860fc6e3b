"""The cases that hypothesis generates: the same ones in every run, or fresh ones in search of faults.

`fixed` is the default: whether the tests pass depends on the code alone. `explore` has fresh seeds and ten
times the cases, and plays again what failed before:

    uv run pytest tests/properties --hypothesis-profile explore --timeout 0
"""

from typing import Final

from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import engine, providers
from hypothesis.internal.constants_ast import Constants

FIXED: Final = "fixed"

# A failure is told after about a minute of making its case smaller.
engine.MAX_SHRINKING_SECONDS = 60

_common = settings(
    settings.get_profile("default"),
    deadline=None,  # Other tests may keep all cores busy: a slow case is no failure.
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
    report_multiple_bugs=False,
)
settings.register_profile(FIXED, _common, derandomize=True, database=None)
settings.register_profile("explore", _common, derandomize=False, max_examples=1_000)
settings.load_profile(FIXED)


def cases(count: int) -> int:
    """The number of cases of a test that has `count` of them by default."""
    return count * _profile().max_examples // settings.get_profile(FIXED).max_examples


def _profile() -> settings:
    return settings.get_profile(settings.get_current_profile_name())


# hypothesis tries constants that it finds in whatever code is imported by then. That helps to explore, but
# would make fixed cases depend on which tests run, and change with code that has nothing to do with them.
_constants_of_code = providers._get_local_constants
_none = Constants()


def _constants() -> Constants:
    return _none if _profile().derandomize else _constants_of_code()


providers._get_local_constants = _constants
