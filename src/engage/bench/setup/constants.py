"""Names and limits that all programs of a benchmark share. Imports little, so that programs start fast."""

import resource

HOST = "127.0.0.1"
PROGRAM = "eu-mi-points"
COUNTRY = "ES"
PRESET = "eu-mi-points/2022"  # The version in force in that country.
TAPS = "/v1/fuel/taps"
TASKS = "/v1/tasks"
HOME = "/v1/me"

_STRIDE = 7_368_787  # A prime number, which no population is a multiple of.


def member_id(prefix: str, number: int) -> str:
    return f"{prefix}{number}"


def spread_number(visit: int, population: int) -> int:
    """The number of the member of a visit: consecutive visits are of members all over the population.

    As many visits as there are members are of all of them.
    """
    return visit * _STRIDE % population


def raise_file_limit() -> int:
    """Let this process and its children open as many files as the system allows. Return that number."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return 1_000_000 if hard == resource.RLIM_INFINITY else hard
