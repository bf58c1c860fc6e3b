"""The preset campaigns of the preset programs: a TOML file each, in the folder `campaigns` of its program."""

from functools import cache

import msgspec

from engage.domain.campaigns.definition import Campaign
from engage.domain.program.parse import toml_table
from engage.programs import FOLDER, SUFFIX

_CAMPAIGNS = "campaigns"


def names() -> list[str]:
    """`eu-mi-points/double-points`, …: program and id of each preset, sorted."""
    return sorted(
        f"{program.name}/{file.name.removesuffix(SUFFIX)}"
        for program in FOLDER.iterdir()
        if program.is_dir() and program.joinpath(_CAMPAIGNS).is_dir()
        for file in program.joinpath(_CAMPAIGNS).iterdir()
        if file.name.endswith(SUFFIX)
    )


@cache
def read(name: str) -> Campaign:
    """One of `names`. A test validates it and plays its examples."""
    return msgspec.convert(toml_table(text(name), source=name), Campaign)


def text(name: str) -> str:
    """The document of one of `names`, with its comments."""
    program, id_ = name.split("/")
    return FOLDER.joinpath(program, _CAMPAIGNS, f"{id_}{SUFFIX}").read_text(encoding="utf-8")
