"""A campaign that operators write, decide and move over HTTP, compared with the model after every step."""

from collections.abc import Coroutine
from datetime import datetime, timedelta
from itertools import count
from typing import Any, Final, TypeVar
from zoneinfo import ZoneInfo

import httpx

from tests.api.calling import PROGRAM, Caller, Calling, problem
from tests.properties.campaign_model import OF_NEWEST, CampaignModel, ModelVersion, Refused
from tests.support.blocking import BlockingServices
from tests.support.campaign_promises import CAMPAIGNS, STATE_WORDS
from tests.support.clock import advance

# Without daylight saving time, so that a local time is one instant.
ZONE: Final = ZoneInfo("Asia/Kolkata")
GARBAGE: Final = ('"9.9"', '"1"', "*", 'W/"1.1"')

_numbers = count(1)

T = TypeVar("T")


class CampaignScenario:
    """`operators` are callers by the names of their keys."""

    def __init__(self, blocking: BlockingServices, api: Calling, operators: dict[str, Caller]) -> None:
        self._blocking = blocking
        self._api = api
        self._operators = operators
        self._id = f"life-{next(_numbers)}"
        self._copies = 0
        self._path = f"{CAMPAIGNS}/{self._id}"
        first, sent = self._written(1, "A", "anna", begin_s=0, lasts_s=3_600)
        made = self._run(operators["anna"].post(CAMPAIGNS, sent))
        assert (made.status_code, made.json()) == (201, {"id": self._id, "version": 1, "state": "draft"})
        assert made.headers["etag"] == first.tag
        self.model = CampaignModel(first)
        self.compare()

    @property
    def now(self) -> datetime:
        return self._api.services.clock.now()

    def put(self, operator: str, *, tag: str, title: str, begin_s: int, lasts_s: int) -> None:
        """Change it with the right tag, a stale one, a wrong one, or none."""
        tags = {"right": self.model.newest.tag, "missing": None}
        tags["stale"] = next((each for each in self.model.tags if each != self.model.newest.tag), '"7.7"')
        tags |= {f"wrong {n}": each for n, each in enumerate(GARBAGE)}
        written, sent = self._written(0, title, operator, begin_s=begin_s, lasts_s=lasts_s)
        before = self.model.newest
        caller, match = self._operators[operator], tags[tag]
        headers = {} if match is None else {"if_match": match}
        answer = self._run(caller.put(self._path, sent, **headers))
        try:
            changed = self.model.put(written, operator, match, self.now)
        except Refused as expected:
            refused = self._refused(answer, expected)
            if expected.status == 412:
                assert refused["current_version"] == before.number
                assert refused["difference"] == differences(sent, self._document(before))
        else:
            body = {"id": self._id, "version": changed.number, "state": "draft"}
            assert (answer.status_code, answer.json()) == (200, body)
            assert answer.headers["etag"] == changed.tag
        self.compare()

    def act(self, action: str, operator: str) -> None:
        body = {"reason": f"{operator} says no"} if action == "reject" else None
        answer = self._run(self._operators[operator].post(f"{self._path}/{action}", body))
        if operator == "approver" and action not in ("approve", "reject"):
            problem(answer, 403, "forbidden")
            return
        try:
            state, version = self.model.act(action, operator, self.now)
        except Refused as expected:
            self._refused(answer, expected)
        else:
            assert (answer.status_code, answer.json()) == (200, {"state": state, "version": version})
        self.compare()

    def go_on(self) -> None:
        """Do what takes it further."""
        model, now = self.model, self.now
        of_live = {"running": "pause", "scheduled": "pause", "paused": "resume"}
        actions = {"draft": "submit", "submitted": "approve"} | of_live
        action = actions.get(model.state(model.newest, now), "end")
        self.act(action, "approver" if action in OF_NEWEST and action != "submit" else "anna")

    def duplicate(self) -> None:
        self._copies += 1
        new_id = f"{self._id}-{self._copies}"
        answer = self._run(self._operators["anna"].post(f"{self._path}/duplicate", {"new_id": new_id}))
        assert (answer.status_code, answer.json()) == (200, {"id": new_id, "version": 1, "state": "draft"})
        copy = self._run(self._operators["anna"].get(f"{CAMPAIGNS}/{new_id}")).json()
        assert copy["document"] == self._document(self.model.newest) | {"id": new_id}
        self.compare()

    def wait(self, seconds: float) -> None:
        advance(self._api.services, timedelta(seconds=seconds))
        self.compare()

    def compare(self) -> None:
        """Compare the campaign as operators see it, and what is in force around each instant that matters."""
        model, now = self.model, self.now
        answer = self._run(self._operators["approver"].get(self._path))
        shown = answer.json()
        newest = model.newest
        assert answer.headers["etag"] == newest.tag
        assert (shown["version"], shown["revision"]) == (newest.number, newest.revision)
        assert shown["document"] == self._document(newest)
        assert [
            (each["version"], each["state"], set(each["authors"]), each["approved_at"] is not None)
            for each in shown["versions"]
        ] == [(each.number, model.state(each, now), each.authors, each.approved) for each in model.versions]
        assert shown["state"] == model.state(newest, now)
        live = model.live
        assert shown["live"] == (live and {"version": live.number, "state": model.state(live, now)})
        known = self._api.services.campaigns.of(PROGRAM)
        for at in self._instants():
            found = known.in_force(at, country="ES", zone="Europe/Madrid")
            versions = [each.version for each in found if each.id == self._id]
            assert versions == [number for number in [model.in_force(at)] if number is not None], at

    def close(self) -> None:
        """Compare the log, and the words by which it is found."""
        query = f"/v1/admin/audit-log?limit=100&subject=campaign:{self._id}"
        log = self._run(self._operators["anna"].get(query)).json()["items"]
        found = [
            (each["operator"], each["action"], each["after"]["version"], each["after"].get("state"))
            for each in reversed(log)
        ]
        expected = [(each.operator, each.action, each.version, each.state) for each in self.model.log]
        assert found == expected
        actions = self._run(self._operators["anna"].get(self._path)).json()["actions"]
        assert [(each["operator"], each["action"], each["version"]) for each in actions] == [
            each[:3] for each in expected
        ]
        reasons = [each["reason"] for each in reversed(log) if each["reason"] is not None]
        assert reasons == [f"{each[0]} says no" for each in expected if each[1] == "rejected"]
        words = {word for word in STATE_WORDS if self._is_listed(word)}
        assert words == self.model.words(self.now)

    def _is_listed(self, word: str) -> bool:
        """Tell whether the list of campaigns in a state has it, on any page."""
        cursor = ""
        while True:
            query = f"{CAMPAIGNS}?program={PROGRAM}&limit=100&state={word}&cursor={cursor}"
            page = self._run(self._operators["approver"].get(query)).json()
            if any(item["id"] == self._id for item in page["items"]):
                return True
            if page["next_cursor"] is None:
                return False
            cursor = page["next_cursor"]

    def _instants(self) -> list[datetime]:
        edges = [at for at, _, _ in self.model.effects]
        edges += [edge for version in self.model.versions for edge in (version.begin, version.end)]
        moment = timedelta(microseconds=1)
        return sorted({at for edge in edges for at in (edge - moment, edge, edge + moment)})

    def _written(
        self, number: int, title: str, author: str, *, begin_s: int, lasts_s: int
    ) -> tuple[ModelVersion, dict[str, Any]]:
        """A version, and the document to send for it."""
        begin = self.now.replace(microsecond=0) + timedelta(seconds=begin_s)
        version = ModelVersion(number, title, begin, begin + timedelta(seconds=lasts_s), {author})
        return version, self._document(version)

    def _document(self, version: ModelVersion) -> dict[str, Any]:
        begin, end = (
            each.astimezone(ZONE).replace(tzinfo=None).isoformat() for each in (version.begin, version.end)
        )
        return {
            "id": self._id,
            "program": PROGRAM,
            "title": {"en": version.title},
            "from": begin,
            "until": end,
            "zone": str(ZONE),
            "boosts": [{"id": "reviews", "rules": ["review"], "multiply": 2}],
        }

    def _refused(self, answer: httpx.Response, expected: Refused) -> dict[str, Any]:
        refused = problem(answer, expected.status, expected.code)
        assert refused.get("state") == expected.state
        return refused

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._blocking.run(work)


def differences(yours: dict[str, Any], theirs: dict[str, Any]) -> list[dict[str, Any]]:
    """The fields that differ, of those in which the documents of this test do."""
    named = [
        {"title.en": document["title"]["en"], "from": document["from"], "until": document["until"]}
        for document in (yours, theirs)
    ]
    return [
        {"field": field, "yours": value, "theirs": named[1][field]}
        for field, value in named[0].items()
        if value != named[1][field]
    ]
