"""The paper of an attempt follows from its seed, and no order is likelier than another."""

from collections import Counter
from collections.abc import Sequence
from itertools import permutations

from hypothesis import given, settings
from hypothesis import strategies as st

from engage.domain.quizzes.definition import Option, Question
from engage.domain.quizzes.paper import paper
from tests.support.generated_cases import cases
from tests.support.quizzes import QUESTIONS, question, quiz

POOL = [question(f"q{n}", "one", ["a"]) for n in range(8)]
SEEDS = [n.to_bytes(16, "big") for n in range(600)]


def ids(items: Sequence[Question | Option]) -> list[str]:
    return [item.id for item in items]


@given(seed=st.binary(min_size=16, max_size=16), draw=st.integers(1, 8), shuffle=st.booleans())
@settings(max_examples=cases(60))
def test_a_paper_has_the_drawn_questions_with_all_their_options(
    seed: bytes, draw: int, shuffle: bool
) -> None:
    pool = quiz(questions=POOL, draw=draw, shuffle=shuffle)
    asked = paper(pool, seed)
    assert asked == paper(pool, seed), "the same again from the same seed"
    assert len(set(ids(asked))) == len(asked) == draw
    by_id = {one.id: one for one in pool.questions}
    for one in asked:
        assert sorted(ids(one.options)) == sorted(ids(by_id[one.id].options))
        assert one.right == by_id[one.id].right
    if not shuffle:
        assert ids(asked) == sorted(ids(asked)), "in the order of the definition"
        assert all(one == by_id[one.id] for one in asked)


def test_without_shuffling_only_the_options_of_an_order_change_places() -> None:
    papers = [paper(quiz(), seed) for seed in SEEDS]
    assert {tuple(ids(asked)) for asked in papers} == {("one", "several", "order")}
    for n in (0, 1):
        assert {tuple(ids(asked[n].options)) for asked in papers} == {("a", "b", "c", "d")}
    orders = Counter("".join(ids(asked[2].options)) for asked in papers)
    assert len(orders) == 24, "every order occurs, the right one too: else it would tell"
    assert max(orders.values()) < 60, "25 each on average"


def test_every_order_of_questions_is_as_likely_as_any_other() -> None:
    papers = Counter(tuple(ids(paper(quiz(shuffle=True), seed))) for seed in SEEDS)
    assert papers.keys() == set(permutations(one["id"] for one in QUESTIONS))
    assert 60 < min(papers.values()) <= max(papers.values()) < 140, "100 each on average"


def test_a_known_seed_has_a_known_paper() -> None:
    """Attempts that were begun by an earlier release are shown as they were."""
    asked = paper(quiz(questions=POOL, draw=4, shuffle=True), bytes(range(16)))
    assert [(one.id, "".join(ids(one.options))) for one in asked] == [
        ("q1", "abcd"),
        ("q6", "bcad"),
        ("q5", "abcd"),
        ("q7", "adbc"),
    ]
