"""Checks of programs, campaigns, operators and keys: what the owners of an installation decide."""

from collections.abc import Iterator

from engage.doctor.check import Check, Facts
from engage.doctor.observations import AccessSeen, CampaignsSeen, ProgramsSeen


def _unreadable(seen: ProgramsSeen) -> Iterator[Facts]:
    for name, reason in seen.unreadable.items():
        yield {"name": name, "reason": reason}


def _none_in_force(seen: ProgramsSeen) -> Iterator[Facts]:
    if not seen.in_force and not seen.unreadable:
        yield {}


def _not_in_force(seen: ProgramsSeen) -> Iterator[Facts]:
    if seen.in_force:
        for name in seen.not_in_force:
            yield {"name": name}


def _beginning(seen: ProgramsSeen) -> Iterator[Facts]:
    for name, day in seen.beginning.items():
        yield {"name": name, "day": day}


def _without_budget(seen: CampaignsSeen) -> Iterator[Facts]:
    for name in seen.without_budget:
        yield {"name": name}


def _never_paid(seen: CampaignsSeen) -> Iterator[Facts]:
    for name, days in seen.never_paid.items():
        yield {"name": name, "days": days}


def _ending(seen: CampaignsSeen) -> Iterator[Facts]:
    for name in seen.ending:
        yield {"name": name}


def _no_operator(seen: AccessSeen) -> Iterator[Facts]:
    if not seen.operators:
        yield {}


def _no_second_factor(seen: AccessSeen) -> Iterator[Facts]:
    if not seen.is_sandbox and seen.without_second_factor:
        yield {"names": ", ".join(seen.without_second_factor), "count": len(seen.without_second_factor)}


def _no_key(seen: AccessSeen) -> Iterator[Facts]:
    if not seen.keys:
        yield {}


def _old_keys(seen: AccessSeen) -> Iterator[Facts]:
    for name, days in seen.old_keys.items():
        yield {"name": name, "days": days}


def _unbound_keys(seen: AccessSeen) -> Iterator[Facts]:
    if not seen.is_sandbox and seen.unbound_keys:
        yield {"names": ", ".join(seen.unbound_keys)}


CHECKS = (
    Check(
        "program_unreadable",
        "programs",
        "error",
        "A published version cannot be read by this release: {name}: {reason}.",
        "No process of this release decides anything before it can. Run the release that published it, and "
        "report this.",
        _unreadable,
    ),
    Check(
        "no_program",
        "programs",
        "error",
        "No program is in force, so nothing earns points.",
        "Publish one: engage program publish.",
        _none_in_force,
    ),
    Check(
        "program_not_begun",
        "programs",
        "notice",
        "The program {name} is published, and in force nowhere yet.",
        "Nothing, if it begins later on purpose.",
        _not_in_force,
    ),
    Check(
        "version_begins",
        "programs",
        "notice",
        "Other rules begin soon: {name} on {day}.",
        "Nothing, if this is meant. Announce it to members.",
        _beginning,
    ),
    Check(
        "budget_ended",
        "campaigns",
        "warning",
        "The campaign {name} runs, and its budget has ended: it pays nobody.",
        "End it, or approve a version with a larger budget.",
        _without_budget,
    ),
    Check(
        "campaign_never_paid",
        "campaigns",
        "warning",
        "The campaign {name} runs for {days} days and has paid nothing.",
        "Try its conditions on a member (a dry run in the console): its audience, hours or rules may fit "
        "nobody.",
        _never_paid,
    ),
    Check(
        "campaign_ends",
        "campaigns",
        "notice",
        "The campaign {name} ends within a day.",
        "Nothing, if this is meant.",
        _ending,
    ),
    Check(
        "no_operator",
        "access",
        "warning",
        "No operator can sign in to the console.",
        "Create one: engage operators create.",
        _no_operator,
    ),
    Check(
        "no_second_factor",
        "access",
        "warning",
        "{count} operators with a password have no second factor: {names}.",
        "Ask them to set it up on their page of the console, or let operators sign in with your OpenID "
        "Connect provider.",
        _no_second_factor,
    ),
    Check(
        "no_key",
        "access",
        "notice",
        "No API key is active: the shop cannot report orders.",
        "Create one: engage keys create.",
        _no_key,
    ),
    Check(
        "key_old",
        "access",
        "warning",
        "The API key {name} is {days} days old, and keys have no end of their own.",
        "Create another one, give it to whoever uses this one, and revoke this one: engage keys revoke.",
        _old_keys,
    ),
    Check(
        "key_for_all_programs",
        "access",
        "notice",
        "API keys open every program, those to come included: {names}.",
        "Bind each to the programs that it needs: engage keys bind.",
        _unbound_keys,
    ),
)
