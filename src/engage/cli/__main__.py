"""`python -m engage.cli`: how an installation starts its parts."""

from engage.cli import main

main(prog_name="engage")
