"""Options that several commands share."""

from pathlib import Path

import rich_click as click

data_option = click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    help=(
        "The installation's folder, running or not. The default is the installation of the environment "
        "variables, or else .engage."
    ),
)
