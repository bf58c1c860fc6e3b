"""The preset program documents: a folder for each program, a TOML file for each version. Imports domain."""

from functools import cache
from importlib import resources

from engage.domain.program import parse
from engage.domain.program.program import Program

FOLDER = resources.files("engage.programs")
SUFFIX = ".toml"

# The program of the demo store, which is published in a sandbox alone.
DEMO_STORE = "demo-store"


class UnknownPreset(LookupError):
    """No preset has that name."""


def names() -> list[str]:
    """`eu-mi-points/2020`, `eu-mi-points/2022`, …: id and version of each preset, sorted."""
    return sorted(
        f"{folder.name}/{file.name.removesuffix(SUFFIX)}"
        for folder in FOLDER.iterdir()
        if folder.is_dir()
        for file in folder.iterdir()
        if file.name.endswith(SUFFIX)
    )


@cache
def preset(name: str) -> Program:
    """One of `names`, or the newest version of a program (`eu-mi-points`).

    Raises UnknownPreset.
    """
    if name in names():
        return parse.parse(text(name), source=name)
    version = newest(name)
    if version is None:
        raise UnknownPreset(name)
    return preset(version)


@cache
def read(name: str) -> Program:
    """One of `names`, without the checks of `preset`, which take a tenth of a second. A test makes them."""
    return parse.read(text(name), source=name)


@cache
def newest(program_id: str) -> str | None:
    """The name of a program's newest preset; None for a program without presets."""
    known = [name for name in names() if name.startswith(f"{program_id}/")]
    return max(known, key=lambda name: read(name).in_force_from, default=None)


def presets() -> dict[str, str]:
    """The texts of all presets by name, the versions of a program from the oldest to the newest."""
    return {name: text(name) for name in names()}


def text(name: str) -> str:
    """The document of one of `names`, or of DEMO_STORE, with its comments."""
    return FOLDER.joinpath(f"{name}{SUFFIX}").read_text(encoding="utf-8")
