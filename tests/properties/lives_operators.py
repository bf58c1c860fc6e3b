"""Operators who publish and change campaigns on real servers, and in the plain model."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec

from engage.domain.campaigns.definition import Campaign
from engage.domain.campaigns.lifecycle import ActionKind
from engage.domain.refusals import Refusal
from engage.flows.campaigns.act import act
from engage.flows.campaigns.change import change, create
from engage.runtime.services import Services
from tests.properties.lives_members import Model
from tests.properties.lives_model import PROGRAM, ZONES, Document, local, moment
from tests.support.campaigns import operator


class Operators:
    """One who writes, and one who approves."""

    def __init__(self, services: Services, model: Model) -> None:
        self.services = services
        self.clock = services.clock
        self.model = model

    def effective(self) -> datetime:
        """The instant from which on a action of now is in force: a whole second, in one or two seconds."""
        later = self.clock.now() + timedelta(seconds=1)
        whole = later.replace(microsecond=0)
        return whole if whole == later else whole + timedelta(seconds=1)

    async def publish(self, document: Document) -> None:
        """Write a campaign, or the next version of one, and approve it."""
        campaign = msgspec.convert(document, Campaign)
        known = self.model.campaigns.get(document["id"])
        if self._is_over(document) or (known is not None and (known.is_ended or self._is_over(known.newest))):
            return
        if known is None:
            await create(self.services, campaign, operator=operator("marketing"))
        else:
            expected = sum(action == "approved" for _, action, _ in known.actions), 1
            await change(self.services, campaign, expected=expected, operator=operator("marketing"))
        key = PROGRAM, document["id"]
        await act(self.services, key, "submitted", operator=operator("marketing"))
        since = self.effective()
        await act(self.services, key, "approved", operator=operator("approver"))
        self.model.approve(document, since)

    def _is_over(self, document: Document, at: datetime | None = None) -> bool:
        """True if a document can be in force no more, from now on or from `at` on."""
        until, at = moment(document["until"]), at or self.effective()
        countries = document["audience"].get("countries", ZONES)
        zones = [ZONES[each] for each in countries] if document["zone"] == "member" else [document["zone"]]
        return all(local(at, zone) >= until for zone in zones)

    async def switch(self, id_: str, action: ActionKind) -> None:
        """Pause, resume or end a campaign; it is refused where its state does not allow that."""
        known = self.model.campaigns[id_]
        since = self.effective()
        now = max(self.clock.now(), *(each[0] for each in known.actions))
        is_over = known.is_ended or self._is_over(known.newest, now)
        is_refused = is_over or (action != "ended" and known.is_paused != (action == "resumed"))
        try:
            await act(self.services, (PROGRAM, id_), action, operator=operator("marketing"))
        except Refusal as refusal:
            if (refusal.code, is_refused) != ("wrong_state", True):
                raise
        else:
            assert not is_refused
            known.actions.append((since, action, known.newest))

    def edges(self) -> Iterator[datetime]:
        """Instants at which a campaign or a boost begins or ends, or an action of an operator is in force."""
        for campaign in self.model.campaigns.values():
            yield from (since for since, _, _ in campaign.actions)
            document = campaign.newest
            for zone in ZONES.values() if document["zone"] == "member" else [document["zone"]]:
                for name in ("from", "until"):
                    yield moment(document[name]).replace(tzinfo=ZoneInfo(zone))
                today = local(self.clock.now(), zone)
                for clock in (hour for boost in document["boosts"] for hour in boost.get("hours", ())):
                    hour, minute = map(int, clock.split(":"))
                    day = today.replace(hour=0, minute=0, second=0, microsecond=0)
                    edge = day + timedelta(hours=hour, minutes=minute)
                    yield edge.replace(tzinfo=ZoneInfo(zone))
