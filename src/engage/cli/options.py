"""Options that several commands share."""

import math
from pathlib import Path
from typing import Any

import rich_click as click

data_option = click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    help=(
        "The installation's folder, running or not. The default is the installation of the environment "
        "variables, or else .engage."
    ),
)


class Range(click.FloatRange):
    """A range of finite numbers. `nan` is neither too small nor too large, so click's own range has it."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is no finite number.", param, ctx)
        return number
