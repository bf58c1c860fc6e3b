"""The program documents that come with engage, one folder a program, one TOML file a version."""

from functools import cache
from importlib import resources

from engage.domain.program import parse
from engage.domain.program.program import Program

_FOLDER = resources.files("engage.programs")
_SUFFIX = ".toml"


class UnknownPreset(LookupError):
    """There is no preset of that name."""


def names() -> list[str]:
    """`eu-mi-points/2020`, `eu-mi-points/2022`, …: by program, then by version."""
    return sorted(
        f"{folder.name}/{file.name.removesuffix(_SUFFIX)}"
        for folder in _FOLDER.iterdir()
        if folder.is_dir()
        for file in folder.iterdir()
        if file.name.endswith(_SUFFIX)
    )


@cache
def preset(name: str) -> Program:
    """The program of one of `names`, or the newest version of a program (`eu-mi-points`).

    Raises UnknownPreset.
    """
    if name in names():
        return parse.parse(text(name), source=name)
    versions = [preset(each) for each in names() if each.startswith(f"{name}/")]
    if not versions:
        raise UnknownPreset(name)
    return max(versions, key=lambda program: program.in_force_from)


def presets() -> list[str]:
    """The texts of all documents, each program's versions from the oldest on."""
    by_age = sorted(names(), key=lambda name: (preset(name).id, preset(name).in_force_from))
    return [text(name) for name in by_age]


def text(name: str) -> str:
    """A preset's document as it is written, comments included. `name` is one of `names`."""
    return _FOLDER.joinpath(f"{name}{_SUFFIX}").read_text(encoding="utf-8")
