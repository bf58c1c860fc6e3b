"""A campaign as it is stored: its versions, and what operators did with them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import msgspec
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.campaigns.definition import Campaign
from engage.domain.campaigns.lifecycle import Action, State, is_rejected, live_version, state_of
from engage.domain.campaigns.zones import zones_of
from engage.domain.program.program import Program
from engage.domain.refusals import Code, Refusal
from engage.runtime.services import Services
from engage.store.campaigns.actions import read_actions
from engage.store.campaigns.versions import CampaignKey, StoredVersion, read_versions

# States, and two words for what operators look for: what was approved and has not ended, and drafts that were
# rejected.
WantedState = Literal[State, "approved", "rejected"]


class StoredCampaign(Struct, frozen=True):
    """Versions and actions in their order, at least one of each. `programs` are the program's versions."""

    versions: Sequence[StoredVersion]
    actions: Sequence[Action]
    programs: Sequence[Program]

    @property
    def newest(self) -> StoredVersion:
        return self.versions[-1]

    @property
    def live(self) -> StoredVersion | None:
        """The version that was approved last."""
        number = live_version(self.actions)
        return None if number is None else self.versions[number - 1]

    def state(self, version: StoredVersion, now: datetime) -> State:
        """The state of a version when all actions so far are effective. Beside a live version that is over
        there is none to come.
        """
        over = self.live is not None and self._state(self.live, now) == "ended"
        return "ended" if over else self._state(version, now)

    def has_state(self, version: StoredVersion, wanted: WantedState, now: datetime) -> bool:
        """Tell whether a version, the newest or the live one, is in a state that somebody looks for."""
        state = self.state(version, now)
        match wanted:
            case "approved":
                return state in ("scheduled", "running", "paused")
            case "rejected":
                return state == "draft" and is_rejected(self.actions)
            case _:
                return state == wanted

    def _state(self, version: StoredVersion, now: datetime) -> State:
        campaign = document_of(version)
        zones = zones_of(campaign, self.programs)
        return state_of(self.actions, version.version, campaign, now=now, zones=zones)


def document_of(version: StoredVersion) -> Campaign:
    return msgspec.convert(version.document, Campaign)


def subject_of(key: CampaignKey) -> str:
    """A campaign as the audit log names it."""
    return f"campaign:{key[1]}"


async def read_campaign(services: Services, conn: AsyncConnection, key: CampaignKey) -> StoredCampaign:
    """Raises Refusal not_found; Unavailable."""
    versions = await read_versions(conn, key)
    if not versions:
        raise Refusal(Code.NOT_FOUND)
    return StoredCampaign(versions, await read_actions(conn, key), services.programs.versions(key[0]))
