"""The life of campaigns over HTTP. The clock of the API stands, so a test decides what time it is."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import httpx
import pytest

from engage.flows.operations.keys import create_key
from engage.settings import Settings
from tests.api.calling import PROGRAM, Caller, Calling, calling, fields, problem
from tests.support.clock import NOON, StoppedClock, advance

CAMPAIGNS = "/v1/admin/campaigns"
OTHER = "in-mi-tokens"
MINUTE = timedelta(minutes=1)
_numbers = count(1)


def document(**changes: Any) -> dict[str, Any]:
    """Twice the points for reviews, from NOON for ten days, in each country's own zone."""
    return {
        "id": f"spring-{next(_numbers)}",
        "program": PROGRAM,
        "title": {"en": "Spring"},
        "from": "2026-11-21T12:00:00",
        "until": "2026-12-01T12:00:00",
        "boosts": [{"id": "reviews", "rules": ["review"], "multiply": 2}],
    } | changes


@pytest.fixture
async def api(installed: Settings) -> AsyncIterator[Calling]:
    """An open API whose clock stands at NOON."""
    async with calling(installed, StoppedClock(NOON)) as opened:
        yield opened


@pytest.fixture
async def second_operator(api: Calling) -> Caller:
    key = await create_key(api.services.db, name="second", scopes=["admin"], programs=None)
    return Caller(api.client, f"Bearer {key}")


async def written(api: Calling, **changes: Any) -> str:
    """The path of a new draft."""
    sent = document(**changes)
    made = await api.operator.post(CAMPAIGNS, sent)
    assert (made.status_code, made.json()) == (201, {"id": sent["id"], "version": 1, "state": "draft"})
    return f"{CAMPAIGNS}/{sent['id']}"


async def act(caller: Caller, path: str, *actions: str) -> dict[str, Any]:
    """The answer to the last of these actions, all of which succeed."""
    answer: dict[str, Any] = {}
    for action in actions:
        done = await request(caller, path, action)
        assert done.status_code == 200, done.text
        answer = done.json()
    return answer


async def request(caller: Caller, path: str, action: str) -> httpx.Response:
    return await caller.post(f"{path}/{action}", {"reason": "Not yet"} if action == "reject" else None)


async def put(api: Calling, path: str, *, etag: str = "", **changes: Any) -> httpx.Response:
    """Change the newest version, as it is or with an ETag that was read before."""
    shown = await api.operator.get(path)
    sent = shown.json()["document"] | changes
    return await api.operator.put(path, sent, if_match=etag or shown.headers["etag"])


async def in_state(api: Calling, state: str, **changes: Any) -> str:
    """The path of a new campaign in a state."""
    if state == "scheduled":
        changes = {"from": "2026-11-22T00:00:00"} | changes
    path = await written(api, **changes)
    if state != "draft":
        await act(api.operator, path, "submit")
    if state not in ("draft", "submitted"):
        await act(api.approver, path, "approve")
    if state in ("paused", "ended"):
        await act(api.operator, path, {"paused": "pause", "ended": "end"}[state])
    assert (await api.operator.get(path)).json()["state"] == state
    return path


async def shown(api: Calling, path: str) -> dict[str, Any]:
    answer = await api.approver.get(path)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def in_force(api: Calling, path: str, at: datetime) -> list[int]:
    """The versions of a campaign that are in force in Spain, of what this process knows."""
    known = api.services.campaigns.of(PROGRAM).in_force(at, country="ES", zone="Europe/Madrid")
    return [each.version for each in known if path.endswith(f"/{each.id}")]


async def test_a_campaign_is_written_submitted_approved_paused_resumed_and_ended(api: Calling) -> None:
    path = await written(api)
    now = api.services.clock.now()
    assert await act(api.operator, path, "submit") == {"state": "submitted", "version": 1}
    assert await act(api.approver, path, "approve") == {"state": "running", "version": 1}
    assert in_force(api, path, now + timedelta(seconds=0.9)) == []
    assert in_force(api, path, now + timedelta(seconds=2)) == [1]
    advance(api.services, MINUTE)
    assert await act(api.operator, path, "pause") == {"state": "paused", "version": 1}
    assert in_force(api, path, now + timedelta(seconds=60)) == [1]
    assert in_force(api, path, now + timedelta(seconds=62)) == []
    advance(api.services, MINUTE)
    assert await act(api.operator, path, "resume") == {"state": "running", "version": 1}
    assert in_force(api, path, now + timedelta(seconds=121)) == [1]
    advance(api.services, MINUTE)
    assert await act(api.operator, path, "end") == {"state": "ended", "version": 1}
    assert in_force(api, path, now + timedelta(seconds=181)) == []
    actions = (await shown(api, path))["actions"]
    assert [action["action"] for action in actions] == [
        *("created", "submitted", "approved", "paused", "resumed", "ended")
    ]
    assert [action["operator"] for action in actions[1:3]] == ["sandbox operator", "sandbox approver"]


STATES = ("draft", "submitted", "scheduled", "running", "paused", "ended")
POSSIBLE: dict[str, dict[str, str]] = {
    "submit": {"draft": "submitted"},
    "reject": {"submitted": "draft"},
    "approve": {"submitted": "running"},
    "pause": {"scheduled": "paused", "running": "paused"},
    "resume": {"paused": "running"},
    "end": dict.fromkeys(("draft", "submitted", "scheduled", "running", "paused"), "ended"),
}


@pytest.mark.parametrize("state", STATES)
async def test_in_each_state_some_actions_are_possible_and_all_others_are_refused(
    api: Calling, state: str
) -> None:
    for action, after in POSSIBLE.items():
        path = await in_state(api, state)
        before = await shown(api, path)
        answer = await request(
            api.approver if action in ("approve", "reject") else api.operator, path, action
        )
        if state in after:
            assert answer.json() == {"state": after[state], "version": 1}, action
            assert (await shown(api, path))["state"] == after[state]
        else:
            assert problem(answer, 409, "wrong_state")["state"] == state
            assert await shown(api, path) == before


@pytest.mark.parametrize("state", STATES)
async def test_a_draft_is_changed_in_place_and_anything_beyond_gets_the_next_version(
    api: Calling, state: str
) -> None:
    path = await in_state(api, state)
    before = await api.operator.get(path)
    changed = await put(api, path, title={"en": "Another"})
    if state == "ended":
        assert problem(changed, 409, "wrong_state")["state"] == "ended"
        return
    version = 1 if state == "draft" else 2
    id_ = before.json()["id"]
    assert (changed.status_code, changed.json()) == (200, {"id": id_, "version": version, "state": "draft"})
    assert changed.headers["etag"] != before.headers["etag"]
    after = await api.operator.get(path)
    assert after.headers["etag"] == changed.headers["etag"]
    assert after.json()["title"] == {"en": "Another"}
    assert after.json()["state"] == "draft"
    if state in ("scheduled", "running", "paused"):
        assert after.json()["live"] == {"version": 1, "state": state}
        first = await api.operator.get(f"{path}?version=1")
        assert (first.json()["state"], first.json()["title"]) == (state, {"en": "Spring"})
        assert first.headers["etag"] == before.headers["etag"]


async def test_the_next_version_is_in_force_when_it_is_approved_and_not_before(api: Calling) -> None:
    path = await in_state(api, "running")
    now = advance(api.services, MINUTE)
    await put(api, path, title={"en": "More"})
    await act(api.operator, path, "submit")
    assert in_force(api, path, now + MINUTE) == [1]
    assert [version["state"] for version in (await shown(api, path))["versions"]] == ["running", "submitted"]
    assert await act(api.approver, path, "approve") == {"state": "running", "version": 2}
    assert in_force(api, path, now) == [1], "an approval does not reach into the past"
    assert in_force(api, path, now + timedelta(seconds=2)) == [2]
    assert [version["state"] for version in (await shown(api, path))["versions"]] == ["ended", "running"]
    assert (await shown(api, path))["live"] == {"version": 2, "state": "running"}


async def test_a_paused_campaign_stays_paused_when_its_next_version_is_approved(api: Calling) -> None:
    path = await in_state(api, "paused")
    await put(api, path, title={"en": "More"})
    await act(api.operator, path, "submit")
    assert await act(api.approver, path, "approve") == {"state": "paused", "version": 2}
    now = advance(api.services, MINUTE)
    assert in_force(api, path, now) == []
    assert await act(api.operator, path, "resume") == {"state": "running", "version": 2}
    assert in_force(api, path, now + MINUTE) == [2]


async def test_a_rejected_version_goes_back_to_its_authors_with_a_reason(api: Calling) -> None:
    path = await in_state(api, "submitted")
    assert fields(problem(await api.approver.post(f"{path}/reject", {}), 400, "invalid_request")) == [
        "reason"
    ]
    assert fields(
        problem(await api.approver.post(f"{path}/reject", {"reason": ""}), 400, "invalid_request")
    ) == ["reason"]
    assert await act(api.approver, path, "reject") == {"state": "draft", "version": 1}
    assert (await shown(api, path))["actions"][-1]["reason"] == "Not yet"
    assert (await put(api, path, title={"en": "Better"})).json()["version"] == 1
    await act(api.operator, path, "submit")
    assert await act(api.approver, path, "approve") == {"state": "running", "version": 1}


async def test_whoever_wrote_a_version_cannot_approve_it(api: Calling) -> None:
    path = await in_state(api, "submitted")
    problem(await api.operator.post(f"{path}/approve"), 403, "four_eyes")
    assert (await shown(api, path))["state"] == "submitted"


async def test_what_nobody_has_approved_stays_the_work_of_its_authors(
    api: Calling, second_operator: Caller
) -> None:
    """Also where another operator goes on with it."""
    path = await in_state(api, "submitted")
    tag = (await api.operator.get(path)).headers["etag"]
    sent = (await shown(api, path))["document"] | {"title": {"en": "Mended"}}
    assert (await second_operator.put(path, sent, if_match=tag)).json()["version"] == 2
    await act(second_operator, path, "submit")
    for author in (api.operator, second_operator):
        problem(await author.post(f"{path}/approve"), 403, "four_eyes")
    assert (await shown(api, path))["versions"][1]["authors"] == ["sandbox operator", "second"]
    await act(api.approver, path, "approve")
    # The third version is the work of one operator alone, so the other one may approve it.
    sent = (await shown(api, path))["document"] | {"title": {"en": "Once more"}}
    tag = (await api.operator.get(path)).headers["etag"]
    await second_operator.put(path, sent, if_match=tag)
    await act(second_operator, path, "submit")
    assert await act(api.operator, path, "approve") == {"state": "running", "version": 3}


async def test_a_key_is_one_pair_of_eyes_whatever_its_name(api: Calling) -> None:
    """Two people may have keys of one name; nobody has two pairs of eyes by writing under two names."""
    path = await in_state(api, "submitted")
    namesake = await create_key(api.services.db, name="sandbox operator", scopes=["admin"], programs=None)
    second = Caller(api.client, f"Bearer {namesake}")
    problem(await api.operator.post(f"{path}/approve"), 403, "four_eyes")
    assert await act(second, path, "approve") == {"state": "running", "version": 1}
    sent = (await shown(api, path))["document"] | {"title": {"en": "More"}}
    tag = (await second.get(path)).headers["etag"]
    assert (await second.put(path, sent, if_match=tag)).json()["version"] == 2
    await act(api.operator, path, "submit")
    problem(await second.post(f"{path}/approve"), 403, "four_eyes")
    assert (await shown(api, path))["versions"][1]["authors"] == ["sandbox operator"]
    assert await act(api.operator, path, "approve") == {"state": "running", "version": 2}


async def test_a_withdrawn_draft_is_over_for_good(api: Calling) -> None:
    path = await in_state(api, "draft")
    assert await act(api.operator, path, "end") == {"state": "ended", "version": 1}
    assert problem(await put(api, path, title={"en": "More"}), 409, "wrong_state")["state"] == "ended"
    for action in POSSIBLE:
        refused = await request(api.operator, path, action)
        assert problem(refused, 409, "wrong_state")["state"] == "ended"
    assert (await shown(api, path))["live"] is None
    copy = await api.operator.post(f"{path}/duplicate", {"new_id": f"{path.rpartition('/')[2]}-again"})
    assert copy.json()["state"] == "draft"


async def test_a_draft_beside_a_campaign_that_ends_ends_with_it(api: Calling) -> None:
    for how in ("by hand", "by time"):
        path = await in_state(api, "running")
        await put(api, path, title={"en": "More"})
        if how == "by hand":
            assert await act(api.operator, path, "end") == {"state": "ended", "version": 1}
        else:
            advance(api.services, timedelta(days=20))
        found = await shown(api, path)
        assert [version["state"] for version in found["versions"]] == ["ended", "ended"]
        assert found["live"] == {"version": 1, "state": "ended"}
        for action in POSSIBLE:
            refused = await request(api.operator, path, action)
            assert problem(refused, 409, "wrong_state")["state"] == "ended"


async def test_a_change_needs_the_etag_of_the_newest_version_and_says_what_differs(api: Calling) -> None:
    path = await written(api)
    sent = (await shown(api, path))["document"]
    problem(await api.operator.put(path, sent), 428, "if_match_required")
    stale = (await api.operator.get(path)).headers["etag"]
    theirs: dict[str, Any] = {"boosts": [{"id": "reviews", "rules": ["review"], "multiply": 3}, *BOOST_FUEL]}
    assert (await put(api, path, **theirs)).status_code == 200
    refused = problem(
        await put(api, path, etag=stale, title={"en": "Mine"}, **YOURS), 412, "changed_meanwhile"
    )
    assert refused["difference"] == [
        {"field": "title.en", "yours": "Mine", "theirs": "Spring"},
        {"field": "boosts[0].multiply", "yours": 2, "theirs": 3},
        {"field": "boosts[1]", "yours": None, "theirs": refused["difference"][2]["theirs"]},
    ]
    assert refused["difference"][2]["theirs"]["id"] == "fuel"
    assert refused["current_version"] == 1
    for tag in ("*", '"x"', 'W/"1.2"', '"1"', '"1.99"', '"2.1"', '"99999999999.1"'):
        problem(await put(api, path, etag=tag), 412, "changed_meanwhile")


BOOST_FUEL: list[dict[str, Any]] = [{"id": "fuel", "rules": ["fuel"], "add": 1}]
YOURS: dict[str, Any] = {"boosts": [{"id": "reviews", "rules": ["review"], "multiply": 2}]}


async def test_an_action_can_name_the_version_that_the_operator_has_read(api: Calling) -> None:
    path = await in_state(api, "submitted")
    seen = (await api.approver.get(path)).headers["etag"]
    await put(api, path, title={"en": "Changed"})
    await act(api.operator, path, "submit")
    problem(await api.approver.post(f"{path}/approve", if_match=seen), 412, "changed_meanwhile")
    no = {"reason": "Not that one"}
    problem(await api.approver.post(f"{path}/reject", no, if_match=seen), 412, "changed_meanwhile")
    newest = (await api.approver.get(path)).headers["etag"]
    assert (await api.approver.post(f"{path}/approve", if_match=newest)).json()["version"] == 2


async def test_mistakes_are_all_named_and_nothing_is_stored(api: Calling) -> None:
    path = await written(api)
    wrong: dict[str, Any] = {"title": {}, "boosts": [{"id": "x", "rules": ["reveiw"]}], "extra": 1}
    refused = problem(await api.operator.post(CAMPAIGNS, document(**wrong)), 422, "invalid_document")
    assert fields(refused) == ["title", "extra", "boosts[0]", "boosts[0].rules[0]"]
    wrong = {"until": "2026-11-01T00:00:00", "boosts": [{"id": "x", "rules": ["reveiw"]}]}
    refused = problem(await api.operator.post(CAMPAIGNS, document(**wrong)), 422, "invalid_document")
    assert fields(refused) == ["until", "boosts[0]", "boosts[0].rules[0]"]
    assert fields(problem(await put(api, path, **wrong), 422, "invalid_document")) == fields(refused)
    assert (await shown(api, path))["versions"][0]["version"] == 1
    elsewhere = document(program="eu-mi-point")
    refused = problem(await api.operator.post(CAMPAIGNS, elsewhere), 422, "invalid_document")
    assert "(did you mean eu-mi-points?)" in refused["errors"][0]["message"]
    unnamed = await api.operator.put(f"{CAMPAIGNS}/another", document(), if_match='"1.1"')
    assert fields(problem(unnamed, 422, "invalid_document")) == ["id"]
    problem(await api.operator.post(CAMPAIGNS, b"{"), 400, "invalid_request")


async def test_an_id_is_written_once_however_many_try(api: Calling) -> None:
    sent = document()
    answers = await asyncio.gather(*(api.operator.post(CAMPAIGNS, sent) for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [201, *5 * [409]]
    refused = next(answer for answer in answers if answer.status_code == 409)
    assert problem(refused, 409, "exists")["id"] == sent["id"]


async def test_a_copy_is_a_draft_of_its_own(api: Calling) -> None:
    path = await in_state(api, "ended")
    original = await shown(api, path)
    new_id = f"{original['id']}-again"
    made = await api.approver.post(f"{path}/duplicate", {"new_id": new_id})
    assert problem(made, 403, "forbidden")
    made = await api.operator.post(f"{path}/duplicate", {"new_id": new_id})
    assert (made.status_code, made.json()) == (200, {"id": new_id, "version": 1, "state": "draft"})
    copy = await shown(api, f"{CAMPAIGNS}/{new_id}")
    assert copy["document"] == original["document"] | {"id": new_id}
    assert [version["authors"] for version in copy["versions"]] == [["sandbox operator"]]
    again = await api.operator.post(f"{path}/duplicate", {"new_id": new_id})
    assert problem(again, 409, "exists")["id"] == new_id
    later = {"new_id": f"{new_id}-later", "from": "2027-01-02T12:00:00"}
    assert (await api.operator.post(f"{path}/duplicate", later)).status_code == 200
    moved = (await shown(api, f"{CAMPAIGNS}/{new_id}-later"))["document"]
    assert (moved["from"], moved["until"]) == ("2027-01-02T12:00:00", "2027-01-12T12:00:00")
    instant = later | {"from": "2027-01-02T12:00:00Z"}
    refused = problem(await api.operator.post(f"{path}/duplicate", instant), 422, "invalid_document")
    assert fields(refused) == ["from"]
    wrong = await api.operator.post(f"{path}/duplicate", {"new_id": "not an id"})
    assert fields(problem(wrong, 400, "invalid_request")) == ["new_id"]


async def test_what_is_unknown_is_not_found(api: Calling) -> None:
    path = f"{CAMPAIGNS}/never"
    for action in (*POSSIBLE, "duplicate"):
        body = {"reason": "r"} if action == "reject" else {"new_id": "x"} if action == "duplicate" else None
        problem(await api.operator.post(f"{path}/{action}", body), 404, "not_found")
    problem(await api.operator.get(path), 404, "not_found")
    problem(await api.operator.put(path, document(id="never"), if_match='"1.1"'), 404, "not_found")
    known = await written(api)
    problem(await api.operator.get(f"{known}?version=2"), 404, "not_found")
    problem(await api.operator.get(f"{known}?program={OTHER}"), 404, "not_found")


async def test_an_id_of_two_programs_needs_the_program(api: Calling) -> None:
    path = await written(api)
    id_ = path.rpartition("/")[2]
    tokens = {"program": OTHER, "boosts": [], "title": {"en": "Tokens"}}
    assert (await api.operator.post(CAMPAIGNS, document(id=id_) | tokens)).status_code == 201
    assert fields(problem(await api.operator.get(path), 400, "invalid_request")) == ["program"]
    assert fields(problem(await api.operator.post(f"{path}/submit"), 400, "invalid_request")) == ["program"]
    assert (await api.operator.get(f"{path}?program={OTHER}")).json()["title"] == {"en": "Tokens"}
    submitted = await api.operator.post(f"{path}/submit?program={PROGRAM}")
    assert submitted.json() == {"state": "submitted", "version": 1}
    assert (await api.operator.get(f"{path}?program={OTHER}")).json()["state"] == "draft"


async def test_a_campaign_whose_time_is_over_is_neither_submitted_nor_approved(api: Calling) -> None:
    over = {"from": "2026-11-20T00:00:00", "until": "2026-11-21T10:00:00"}
    path = await written(api, **over)
    assert fields(problem(await api.operator.post(f"{path}/submit"), 422, "invalid_document")) == ["until"]
    # It is over last in the United Kingdom, an hour after the others.
    path = await in_state(api, "submitted", until="2026-11-21T12:05:00")
    advance(api.services, timedelta(minutes=4, seconds=59.5))
    refused = problem(await api.approver.post(f"{path}/approve"), 422, "invalid_document")
    assert fields(refused) == ["until"]


async def test_examples_are_played_before_a_campaign_can_be_submitted(api: Calling) -> None:
    review = {"activity": "review", "product_id": "p", "review_id": "r"}
    earns = [{"rule": "review", "points": 20}, {"rule": "review", "points": 10, "boost": "reviews"}]
    step = {"at": "2026-11-22T10:00:00", "do": review, "earns": earns}
    example = {"title": "A review", "country": "ES", "steps": [step]}
    path = await written(api, examples=[example])
    refused = problem(await api.operator.post(f"{path}/submit"), 422, "example_failed")
    assert refused["problems"][0].startswith('examples[0] "A review", step 1')
    assert (await shown(api, path))["state"] == "draft"
    earns[1]["points"] = 20
    assert (await put(api, path, examples=[example])).status_code == 200
    assert await act(api.operator, path, "submit") == {"state": "submitted", "version": 1}


async def test_a_repeated_request_does_nothing_and_gets_the_same_answer(api: Calling) -> None:
    sent = document()
    path = f"{CAMPAIGNS}/{sent['id']}"
    requests: list[tuple[Caller, str, Any]] = [
        (api.operator, CAMPAIGNS, sent),
        (api.operator, f"{path}/submit", None),
        (api.approver, f"{path}/reject", {"reason": "Not yet"}),
        (api.operator, f"{path}/duplicate", {"new_id": f"{sent['id']}-copy"}),
        (api.operator, f"{path}/submit", {}),
        (api.approver, f"{path}/approve", None),
        (api.operator, f"{path}/pause", None),
        (api.operator, f"{path}/resume", None),
        (api.operator, f"{path}/end", None),
    ]
    for n, (caller, target, body) in enumerate(requests):
        key = f"{sent['id']}-{n}"
        first = await caller.post(target, body, idempotency_key=key)
        assert first.is_success, first.text
        again = await caller.post(target, body, idempotency_key=key)
        assert (again.status_code, again.content) == (first.status_code, first.content)
        assert again.headers["idempotency-replayed"] == "true"
        assert again.headers.get("etag") == first.headers.get("etag")
    assert len((await shown(api, path))["actions"]) == len(requests) - 1, "the copy has its own"


async def test_each_action_is_in_the_audit_log_with_before_and_after(api: Calling) -> None:
    path = await in_state(api, "running")
    await put(api, path, title={"en": "More"})
    subject = f"campaign:{path.rpartition('/')[2]}"
    log = (await api.operator.get(f"/v1/admin/audit-log?subject={subject}")).json()["items"]
    found = [(entry["action"], entry["operator"], entry["before"], entry["after"]) for entry in reversed(log)]
    first = {"version": 1, "document": (await api.operator.get(f"{path}?version=1")).json()["document"]}
    second = {"version": 2, "document": first["document"] | {"title": {"en": "More"}}}
    assert found == [
        ("created", "sandbox operator", None, first),
        (
            "submitted",
            "sandbox operator",
            {"state": "draft", "version": 1},
            {"state": "submitted", "version": 1},
        ),
        (
            "approved",
            "sandbox approver",
            {"state": "submitted", "version": 1},
            {"state": "running", "version": 1},
        ),
        ("created", "sandbox operator", first, second),
    ]


async def test_an_approver_reads_and_decides_and_does_not_write(api: Calling) -> None:
    path = await in_state(api, "running")
    for action in ("submit", "pause", "resume", "end"):
        problem(await api.approver.post(f"{path}/{action}"), 403, "forbidden")
    problem(await api.approver.post(CAMPAIGNS, document()), 403, "forbidden")
    sent = (await shown(api, path))["document"]
    problem(await api.approver.put(path, sent, if_match='"1.1"'), 403, "forbidden")
    for caller in (api.shop, api.nobody):
        assert (await caller.get(path)).status_code in (401, 403)
        assert (await caller.post(f"{path}/approve")).status_code in (401, 403)


async def test_a_report_is_also_about_countries_that_a_later_version_of_the_program_does_not_name(
    api: Calling,
) -> None:
    newest = api.services.programs.versions(PROGRAM)[-1]
    assert "ES" not in newest.countries
    audience = {"countries": ["ES"], "joined_after": "2026-01-01T00:00:00"}
    path = await written(api, holdout_percent=10, audience=audience)
    await act(api.operator, path, "submit")
    await act(api.approver, path, "approve")
    advance(api.services, MINUTE)
    found = await api.operator.get(f"{path}/report")
    assert found.status_code == 200, found.text
    assert set(found.json()["holdout"]) >= {"members", "rate", "uplift", "interval"}


async def test_all_mistakes_of_a_document_are_told_at_once(api: Calling) -> None:
    boosts = [{"id": "b", "rules": ["nothing"], "multiply": 0}]
    sent = document(boosts=boosts, until="2026-01-01T00:00:00", audience={"segments": ["nobody"]}, colour=1)
    refused = await api.operator.post(CAMPAIGNS, sent)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_document")
    fields = [error["field"] for error in refused.json()["errors"]]
    expected = ["boosts[0].multiply", "colour", "until", "audience.segments[0]", "boosts[0].rules[0]"]
    assert sorted(fields) == sorted(expected)
