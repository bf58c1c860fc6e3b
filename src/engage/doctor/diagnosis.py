"""The diagnosis of an installation: observe everything, and run every check."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from engage.doctor.check import SEVERITIES, Check, Finding, Severity, findings_of
from engage.doctor.checks import content, machine, postgres, processes, settings, valkey
from engage.doctor.observations import Absence, Observations
from engage.doctor.observe.machine import observe_machine
from engage.doctor.observe.postgres import observe_postgres
from engage.doctor.observe.processes import observe_processes
from engage.doctor.observe.settings import read_key_set, read_settings
from engage.doctor.observe.stored import StoredSeen, observe_stored
from engage.doctor.observe.valkey import observe_valkeys

CHECKS: Final[tuple[Check, ...]] = (
    *machine.CHECKS,
    *settings.CHECKS,
    *postgres.CHECKS,
    *valkey.CHECKS,
    *processes.CHECKS,
    *content.CHECKS,
)


class Diagnosis(Struct, frozen=True):
    """The findings, worst first, and the checks that could not be made."""

    findings: list[Finding]
    checked: int
    not_checked: list[str]

    @property
    def worst(self) -> Severity | None:
        return self.findings[0].severity if self.findings else None


async def observe(environment: Mapping[str, str], folder: Path | None) -> Observations:
    """Observe the installation of these environment variables, and of the folder that it lives in."""
    found, seen = read_settings(environment)
    alive, valkeys, key_set = await asyncio.gather(
        observe_processes(found), observe_valkeys(found), read_key_set(found)
    )
    count = 0 if alive is None else sum(map(len, alive.alive.values()))
    database = await observe_postgres(found, processes=count)
    stored: StoredSeen | None = None
    if database is not None and not isinstance(database, Absence):
        stored = await observe_stored(found)
    absences = [each for each in (database, *valkeys) if isinstance(each, Absence)]
    return Observations(
        settings=seen,
        key_set=key_set,
        absences=absences,
        postgres=None if isinstance(database, Absence) else database,
        valkeys=[each for each in valkeys if not isinstance(each, Absence)],
        processes=alive,
        work=None if stored is None else stored.work,
        programs=None if stored is None else stored.programs,
        campaigns=None if stored is None else stored.campaigns,
        access=None if stored is None else stored.access,
        machine=observe_machine([folder or Path()], is_sandbox=seen.is_sandbox),
    )


def observe_stopped(folder: Path) -> Observations:
    """Observe a folder in which nothing runs."""
    return Observations(
        folder_not_running=str(folder),
        absences=[],
        machine=observe_machine([folder], is_sandbox=True),
    )


def diagnose(observations: Observations, checks: Sequence[Check] = CHECKS) -> Diagnosis:
    """Run each check whose observation could be made."""
    found: list[Finding] = []
    not_checked: list[str] = []
    for check in checks:
        observation = getattr(observations, check.observation)
        if observation is None:
            if check.observation != "folder_not_running":
                not_checked.append(check.name)
        else:
            found += findings_of(check, observation)
    found.sort(key=lambda finding: SEVERITIES.index(finding.severity))
    return Diagnosis(found, len(checks) - len(not_checked), not_checked)
