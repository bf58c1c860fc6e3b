from hypothesis import given
from hypothesis import strategies as st

from engage.fifo_cache import FifoCache

CAPACITY = 4


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans())))
def test_it_keeps_the_newest_entries_and_forgets_the_oldest(steps: list[tuple[int, bool]]) -> None:
    cache: FifoCache[int, int] = FifoCache(CAPACITY)
    model: list[tuple[int, int]] = []  # The oldest first. A value that is replaced keeps its place.
    for value, (key, is_kept) in enumerate(steps):
        known = [old for old, _ in model]
        if not is_kept:
            cache.pop(key, None)
            model = [entry for entry in model if entry[0] != key]
        elif key in known:
            cache.keep(key, value)
            model[known.index(key)] = (key, value)
        else:
            cache.keep(key, value)
            model = [*model, (key, value)][-CAPACITY:]
        assert list(cache.items()) == model
