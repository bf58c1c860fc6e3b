"""Tasks in words: their titles, and why one cannot be done now."""

from engage.domain.document.texts import text_in
from engage.domain.refusals import Code
from engage.domain.tasks import Task, WhyNot
from engage.messages.catalogue import translate
from engage.messages.refusals import refusal_message

# The fact that selects the plural form of a sentence.
COUNTED = {"streak_days_ahead": "days"}


def task_title(task: Task, language: str) -> str:
    """The title that a document gives a task, or else that of its rule."""
    if task.title is None:
        return translate(f"task.{task.rule}", language, {})
    return text_in(task.title, language)


def why_not_text(why_not: WhyNot, language: str, zone: str) -> str:
    """Write one or two sentences, with local times of `zone`."""
    facts = {**why_not.facts, "zone": zone}
    code = Code.named(why_not.code)
    if code is not None:
        return refusal_message(code, facts, language).detail
    return translate(f"task.{why_not.code}", language, facts, counted=COUNTED.get(why_not.code))
