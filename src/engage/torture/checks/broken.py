"""The finding of a check."""

from msgspec import Struct


class Broken(Struct, frozen=True):
    """A promise that was not kept. `story_ids`: the requests that show it."""

    promise: str
    story_ids: tuple[int, ...]
    text: str
