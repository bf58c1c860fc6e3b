"""The language of an answer follows Accept-Language."""

import pytest

from engage.api.http.languages import negotiate


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("de", "de"),
        ("es-ES,es;q=0.9", "es"),
        ("xx, fr;q=0.3, it;q=0.8", "it"),
        ("de;q=0, nl", "nl"),
        ("RU, en;q=0.5", "ru"),
        ("De-at", "de"),
        ("", "en"),
        ("*", "en"),
        (";;,,q=", "en"),
        ("de;q=high", "en"),
    ],
)
def test_the_caller_is_answered_in_the_best_of_their_languages(header: str, language: str) -> None:
    assert negotiate(header) == language
