"""Writes the exact version of every dependency, transitive ones too, into pyproject.toml.

    uv run --no-project .ci/pin.py

A lock file would record where each package was downloaded; constraints say only which version. They come
from a fresh resolution for all platforms and Pythons, so everybody gets the same versions.
"""

import re
import subprocess
from pathlib import Path

PYPROJECT = Path(__file__).parent.parent / "pyproject.toml"
BLOCK = re.compile(
    r"\n\[tool\.uv\]\n# Written by \.ci/pin\.py\.\nconstraint-dependencies = \[\n.*?\n\]\n", re.DOTALL
)
COMPILE = "uv pip compile pyproject.toml --universal --group dev --group deployment --no-header --no-annotate"


def main() -> None:
    bare = BLOCK.sub("", PYPROJECT.read_text())
    PYPROJECT.write_text(bare)
    resolved = subprocess.run(  # noqa: S603 - a fixed command.
        COMPILE.split(),
        check=True,
        capture_output=True,
        text=True,
        cwd=PYPROJECT.parent,
    ).stdout
    pins = [line.strip() for line in resolved.splitlines() if "==" in line]
    listed = "".join(f'    "{pin}",\n' for pin in pins)
    block = f"\n[tool.uv]\n# Written by .ci/pin.py.\nconstraint-dependencies = [\n{listed}]\n"
    PYPROJECT.write_text(bare.rstrip("\n") + "\n" + block)


main()
