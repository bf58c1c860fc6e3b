"""Velocity rules against farming."""

from engage.domain.program.program import Program
from engage.domain.protection.definition import VelocityRule
from engage.messages.program_text.description import Description
from engage.messages.program_text.wording import Wording


def describe(program: Program, words: Wording) -> Description:
    if program.protection is None:
        return Description()
    return Description([_sentence(rule, words) for rule in program.protection.velocity])


def _sentence(rule: VelocityRule, words: Wording) -> str:
    return words.text(
        f"protection.{rule.counts}.{rule.per}",
        many=words.per(rule.at_most, rule.per_window),
        hold=words.duration(rule.hold),
        scope="; ".join(_scope(rule, words)),
    )


def _scope(rule: VelocityRule, words: Wording) -> list[str]:
    scope = [words.one_of(rule.on) if rule.on else words.text("protection.everything")]
    if rule.attested is not None:
        scope.append(words.text(f"protection.{'attested' if rule.attested else 'unattested'}"))
    return scope
