"""Each operation opens to the keys of its scope: an admin's key does what an approver's does, and no other
key does what is not its own.
"""

import re

import pytest

from engage.api.contract.openapi import document
from engage.api.controllers import controllers
from tests.api.calling import Calling

UUID = "019aa3c0-7c1e-7b6a-9d6e-2f1f0f6d3a10"
ENOUGH = {"shop": {"shop"}, "operator": {"operator"}, "approver": {"approver", "operator"}}
OPERATIONS = [
    (method, path, operation)
    for path, methods in document(controllers(sandbox=True))["paths"].items()
    if path.startswith(("/v1/shop/", "/v1/admin/"))
    for method, operation in methods.items()
]
# An approver reads what there is to approve, and what was done.
OF_APPROVERS = {"listPrograms", "listProgramVersions", "getProgramVersion", "listAuditLog"}


def test_an_approver_reads_programs_and_the_audit_log() -> None:
    found = {
        operation["operationId"]
        for _, _, operation in OPERATIONS
        if operation["security"] == [{"approver": []}]
    }
    assert found >= OF_APPROVERS


@pytest.mark.parametrize("scope", ["shop", "operator", "approver"])
async def test_a_key_opens_the_operations_of_its_scope(api: Calling, scope: str) -> None:
    for method, path, operation in OPERATIONS:
        ((needed, _),) = operation["security"][0].items()
        filled = re.sub(r"\{(\w+)\}", UUID, path)
        answer = await getattr(api, scope).request(method.upper(), filled, None)
        is_refused = answer.status_code == 403 and answer.json()["code"] == "forbidden"
        assert is_refused == (scope not in ENOUGH[needed]), f"{operation['operationId']}: {answer.text}"


async def test_a_refused_key_is_told_the_scope_that_is_needed(api: Calling) -> None:
    wrong = [
        (api.shop, "/v1/admin/programs", "admin"),
        (api.approver, "/v1/admin/referrals", "admin"),
        (api.approver, "/v1/shop/events", "shop"),
    ]
    for caller, path, needed in wrong:
        ask = caller.post if path == "/v1/shop/events" else caller.get
        assert (await ask(path)).json()["scope"] == needed


async def test_an_approvers_key_publishes_nothing_whatever_it_has_read(api: Calling) -> None:
    read = await api.approver.get("/v1/admin/programs/eu-mi-points/versions/2022")
    text = read.json()["document"].partition("[[examples]]")[0].replace('"2022"', '"2029"')
    for key in ({}, {"idempotency_key": "k-1"}):
        body = {"document": text.replace("2022-09-01", "2029-01-01")}
        refused = await api.approver.post("/v1/admin/programs/eu-mi-points/versions", body, **key)
        assert (refused.status_code, refused.json()["scope"]) == (403, "admin")
