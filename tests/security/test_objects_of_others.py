"""API1: what belongs to another member or another program does not exist for a caller.

`tests/api/test_key_programs.py` tests each call of the shop and of operators with the key of another program.
"""

import json
from collections.abc import Mapping
from typing import Any

from tests.api.calling import PROGRAM, Caller, Calling
from tests.security.operations import UUID, operations
from tests.support.checkout import SPENDING, member_with_points
from tests.support.quizzes import quiz_document
from tests.support.withdrawals import PROGRAM as MARKET

LONG = 20  # Characters of an id or a code.

# Operations about what a member has, and a body that they take.
OF_A_MEMBER: Mapping[str, Any] = {
    "getCredit": None,
    "getWithdrawal": None,
    "passFCode": {"to_member_id": "bea"},
    "answerQuiz": {"answers": {"one": ["b"], "several": ["c", "a"], "order": ["d", "b", "a", "c"]}},
}
# Operations about what a program offers to all of its members.
OF_A_PROGRAM: Mapping[str, Any] = {
    "waitReward": {},
    "startQuiz": None,
    "getDraw": None,
    "getDrawCertificate": None,
    "enterDraw": {},
    "getLeaderboard": None,
    "getGame": None,
    "getGameCertificate": None,
    "playGame": {},
}


def test_every_operation_with_an_id_says_whose_it_is() -> None:
    found = {each.id for each in operations() if each.needed == "member" and each.has_id}
    assert found == {*OF_A_MEMBER, *OF_A_PROGRAM}


async def shown(caller: Caller, method: str, path: str, body: Any) -> tuple[int, dict[str, Any]]:
    """Return status and document of an answer, without its trace id and what the caller has sent."""
    answer = await caller.request(method, path, body)
    text = answer.text
    for part in path.split("/"):
        if len(part) >= LONG:
            text = text.replace(part, "<sent>")
    return answer.status_code, {k: v for k, v in json.loads(text).items() if k != "trace_id"}


async def same_as_unknown(caller: Caller, operation: str, path: str, unknown: str) -> None:
    method = next(each.method for each in operations() if each.id == operation)
    body = {**OF_A_MEMBER, **OF_A_PROGRAM}[operation]
    of_another = await shown(caller, method, path, body)
    assert of_another == await shown(caller, method, unknown, body), operation
    assert of_another[0] == 404, of_another


async def test_what_another_member_has_is_unknown(api: Calling) -> None:
    ana, bea = await api.joined(), await api.joined()
    credit = (await ana.get("/v1/me/credits")).json()["items"][0]["id"]
    assert (await ana.get(f"/v1/me/credits/{credit}")).status_code == 200
    await same_as_unknown(bea, "getCredit", f"/v1/me/credits/{credit}", f"/v1/me/credits/{UUID}")
    elsewhere = api.member_of("by-mi-bonus", ana.member_id)
    assert (await elsewhere.get(f"/v1/me/credits/{credit}")).status_code in (401, 404)


async def test_an_attempt_of_another_member_is_unknown(api: Calling) -> None:
    ana, bea = await api.joined(), await api.joined()
    quiz = "/v1/quizzes/security"
    made = await api.operator.post("/v1/admin/quizzes", quiz_document(id="security", program=PROGRAM))
    assert made.status_code == 201, made.text
    attempt = (await ana.post(f"{quiz}/attempts")).json()["attempt_id"]
    await same_as_unknown(
        bea, "answerQuiz", f"{quiz}/attempts/{attempt}/answers", f"{quiz}/attempts/{UUID}/answers"
    )


async def test_an_f_code_of_another_member_is_unknown(api: Calling) -> None:
    for name in ("ana", "bea", "zoe"):
        await member_with_points(api.services, 300, name)
    ana, zoe = api.member_of(SPENDING, "ana"), api.member_of(SPENDING, "zoe")
    code = (await ana.post("/v1/redemptions", {"reward_id": "phone_first"})).json()["f_code"]["code"]
    await same_as_unknown(
        zoe, "passFCode", f"/v1/me/f-codes/{code}/pass", "/v1/me/f-codes/7QK2M-0X4TZ-9BVHC-3RNWJ/pass"
    )


async def test_a_withdrawal_of_another_member_is_unknown(api: Calling) -> None:
    ids = []
    for _ in range(2):
        member_id = (await api.joined(program=MARKET, country="BF")).member_id
        given = {"points": 100, "reason": "r", "reference": "k"}
        path = f"/v1/admin/members/{member_id}/adjustments?program={MARKET}"
        assert (await api.operator.post(path, given)).is_success
        ids.append(member_id)
    ana, bea = (api.member_of(MARKET, member_id) for member_id in ids)
    asked = await ana.post("/v1/withdrawals", {"points": 60, "method": "cash"}, idempotency_key="one")
    withdrawal = asked.json()["id"]
    await same_as_unknown(bea, "getWithdrawal", f"/v1/withdrawals/{withdrawal}", f"/v1/withdrawals/{UUID}")
    # The key of another member is another key: no answer of hers.
    again = await bea.post("/v1/withdrawals", {"points": 60, "method": "cash"}, idempotency_key="one")
    assert again.json()["id"] != withdrawal


async def test_what_another_program_offers_is_unknown(api: Calling) -> None:
    """The ids of definitions are of their program."""
    await api.operator.post("/v1/admin/quizzes", quiz_document(id="elsewhere", program=PROGRAM))
    member_id = (await api.joined(program=MARKET, country="BF")).member_id
    stranger = api.member_of(MARKET, member_id)
    for each in operations():
        if each.id not in OF_A_PROGRAM:
            continue
        for id_ in ("elsewhere", "rewardmi"):
            path = each.path.replace("{", "").replace("}", "").replace(_parameter(each.path), id_)
            unknown = path.replace(f"/{id_}", "/nothing-like-it")
            body = OF_A_PROGRAM[each.id]
            assert await shown(stranger, each.method, path, body) == await shown(
                stranger, each.method, unknown, body
            ), each.id


def _parameter(path: str) -> str:
    return path.partition("{")[2].partition("}")[0]
