"""Each language has every text, with the right placeholders and plural forms."""

import re
from typing import get_args

import pytest
from babel.messages.catalog import Message
from babel.messages.plurals import get_plural

from engage.console import cookies
from engage.domain.checkout.offers import CouponReason, PointsReason
from engage.domain.keys import referral_rule
from engage.domain.referrals.definition import SIDES, Side
from engage.domain.refusals import Code
from engage.domain.tasks import OBSTACLE_FACTS, Obstacle, Task
from engage.messages import program_rules, refusals, tasks, traces
from engage.messages.catalogue import DEFAULT, LANGUAGES, read_catalog

TRANSLATED = [language for language in LANGUAGES if language != DEFAULT]


# Pages for operators are written in fewer languages than texts for members; tests/console checks their keys.
CONSOLE = "console."


def texts(language: str) -> dict[str, Message]:
    found = {str(_key(message)): message for message in read_catalog(language) if message.id}
    if language not in cookies.LANGUAGES:
        assert not [key for key in found if key.startswith(CONSOLE)]
    return found


def wanted_in(language: str) -> dict[str, Message]:
    """The texts that a language has to have, in English."""
    every = language in cookies.LANGUAGES
    return {key: text for key, text in texts(DEFAULT).items() if every or not key.startswith(CONSOLE)}


def _key(message: Message) -> str:
    return message.id if isinstance(message.id, str) else message.id[0]


def forms(message: Message) -> tuple[str, ...]:
    return (message.string,) if isinstance(message.string, str) else tuple(message.string or ())


def placeholders(text: str) -> set[str]:
    return set(re.findall(r"{(\w+)}", text))


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_catalogue_has_a_title_and_a_detail_for_each_code(language: str) -> None:
    wanted = {f"refusal.{code}.{part}" for code in Code for part in ("title", "detail")}
    assert {key for key in texts(language) if key.startswith("refusal.")} == wanted


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_catalogue_is_complete_and_nothing_in_it_is_fuzzy_or_obsolete(language: str) -> None:
    catalog = read_catalog(language)
    assert [message.id for message in catalog if message.id and message.fuzzy] == []
    assert [message.id for message in catalog if not all(forms(message))] == []
    assert catalog.obsolete == {}
    assert texts(language).keys() == wanted_in(language).keys()


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_counted_text_has_the_plural_forms_of_its_language(language: str) -> None:
    counted = {f"refusal.{code}.detail" for code in refusals.COUNTED}
    counted |= {f"trace.{code}" for code in traces.COUNTED} | {"trace.amount", refusals.FOR_EVER}
    counted |= {f"rule.{key}" for key in program_rules.COUNTED}
    counted |= {f"task.{key}" for key in tasks.COUNTED} | {"trace.window_slot.day"}
    found = texts(language)
    plurals = {key for key, message in found.items() if message.pluralizable}
    assert {key for key in plurals if not key.startswith(CONSOLE)} == counted
    plural = get_plural(language)
    assert read_catalog(language).plural_forms == plural.plural_forms
    assert [key for key in plurals if len(forms(found[key])) != plural.num_plurals] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_detail_names_only_facts_of_its_code(language: str) -> None:
    found = texts(language)
    for code in Code:
        for form in forms(found[f"refusal.{code}.detail"]):
            assert placeholders(form) <= code.facts.keys(), (code, form)
        assert placeholders(forms(found[f"refusal.{code}.title"])[0]) == set()


@pytest.mark.parametrize("language", TRANSLATED)
def test_a_translation_names_the_facts_that_english_names(language: str) -> None:
    translated = texts(language)
    for key, english in wanted_in(language).items():
        assert placeholders(forms(translated[key])[-1]) == placeholders(forms(english)[-1]), key


@pytest.mark.parametrize("language", TRANSLATED)
def test_no_text_is_left_in_english(language: str) -> None:
    english, own = texts(DEFAULT), texts(language)
    same = [key for key in own if forms(own[key])[-1] == forms(english[key])[-1]]
    assert [key for key in same if not key.endswith(".title") and not is_label(english[key])] == []


def is_label(text: Message) -> bool:
    """Return whether a text is a short label of the console, which several languages may share."""
    return _key(text).startswith(CONSOLE) and len(forms(text)[-1].split()) <= 2


# Words by which a text would be on first-name terms with the member. All texts are polite.
FAMILIAR = {
    "fr": "tu toi ton tes",
    "es": "tu tus te ti has tienes puedes participas",
    "it": "tu tuo tua tuoi tue ti hai puoi partecipi",
    "de": "du dein deine deinen dich dir",
    "nl": "je jij jou jouw",
    "ru": "ты твой твои тебя тебе",
}


@pytest.mark.parametrize("language", TRANSLATED)
def test_all_texts_address_the_member_politely(language: str) -> None:
    familiar = re.compile(rf"\b({FAMILIAR[language].replace(' ', '|')})\b", re.IGNORECASE)
    found = [(key, form) for key, message in texts(language).items() for form in forms(message)]
    assert [(key, form) for key, form in found if familiar.search(form)] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_obstacle_of_a_task_has_a_text_that_names_its_facts(language: str) -> None:
    found = texts(language)
    for obstacle, names in OBSTACLE_FACTS.items():
        assert placeholders(forms(found[f"task.{obstacle}"])[-1]) <= set(names), obstacle
    assert OBSTACLE_FACTS.keys() == set(Obstacle)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("side", SIDES)
def test_the_tasks_of_a_referral_have_titles(language: str, side: Side) -> None:
    task = Task(rule=referral_rule(side), title=None, points=1, activity="referral")
    assert tasks.task_title(task, language) == str(texts(language)[f"task.{referral_rule(side)}"].string)


def test_each_reason_that_the_domain_names_has_a_text() -> None:
    reasons = {*get_args(PointsReason), *get_args(CouponReason)}
    assert {f"reason.{reason}" for reason in reasons} <= texts(DEFAULT).keys()
