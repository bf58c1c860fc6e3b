"""Programs that tests publish again and again are validated and played once: both follow from the text alone.

A program is frozen, so tests can share it. A text that is wrong is read anew each time.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import pytest

from engage.domain.document.errors import DocumentError
from engage.domain.playback import examples
from engage.domain.playback.examples import Failure
from engage.domain.program import parse
from engage.domain.program.program import Program

REMEMBERED = 256

_parse, _check = parse.parse, examples.check


@contextmanager
def remembered_proofs() -> Iterator[None]:
    """Let `parse.parse` and `examples.check` remember what they found."""
    played: dict[int, tuple[Program, list[Failure]]] = {}  # By identity: programs cannot be hashed.

    @lru_cache(REMEMBERED)
    def valid(text: str) -> Program:
        return _parse(text, source="")

    def remembered_parse(text: str, *, source: str) -> Program:
        try:
            return valid(text)
        except DocumentError:
            return _parse(text, source=source)  # The error names the source.

    def remembered_check(program: Program) -> list[Failure]:
        if id(program) not in played:
            if len(played) == REMEMBERED:
                played.clear()
            played[id(program)] = (program, _check(program))
        return list(played[id(program)][1])

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(parse, "parse", remembered_parse)
        patched.setattr(examples, "check", remembered_check)
        yield
