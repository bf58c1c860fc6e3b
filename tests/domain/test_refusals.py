"""The catalogue of refusals."""

import pytest

from engage.domain.refusals import Code, Refusal, RequestKind, UseCase, codes_of


def test_every_code_can_occur_somewhere_and_every_use_case_can_be_refused() -> None:
    assert [code for code in Code if not code.occurs_in] == []
    assert [place for place in (*UseCase, *RequestKind) if not codes_of(place)] == []


def test_a_code_is_named_like_its_member_and_has_an_error_status() -> None:
    for code in Code:
        assert code.name == code.upper()
        assert 400 <= code.status < 600
        assert Code.named(code.value) is code


def test_no_limit_of_the_rules_is_throttling() -> None:
    """Client libraries wait out a 429's Retry-After, and a month is too long. A quota of requests is not."""
    assert [code for code in Code if code.status == 429] == [Code.RATE_LIMITED]


def test_a_fact_has_one_type_wherever_it_is_used() -> None:
    types: dict[str, type] = {}
    for code in Code:
        for name, fact in code.facts.items():
            assert types.setdefault(name, fact.type) is fact.type, (code, name)


def test_a_refusal_carries_only_facts_that_its_code_declares() -> None:
    assert Refusal(Code.SOLD_OUT, reward="coupon_5").facts == {"reward": "coupon_5"}
    assert Refusal(Code.NOT_OPEN_YET, opens_at=None).status == 403
    with pytest.raises(AssertionError, match="no fact rewards"):
        Refusal(Code.SOLD_OUT, rewards="coupon_5")
    with pytest.raises(AssertionError, match="reward is 5"):
        Refusal(Code.SOLD_OUT, reward=5)
