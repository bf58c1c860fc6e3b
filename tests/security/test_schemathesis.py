"""Requests made from the contract, right and wrong ones, get the answers that it documents.

A request of each operation by default. Ten thousand, other ones each time:

    uv run pytest tests/security/test_schemathesis.py --cases 10000 --timeout 0
"""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
import schemathesis
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from msgspec.structs import replace
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from engage.settings import Settings
from tests.api.process import ApiProcess, api_process
from tests.conftest import CASES

CONTRACT = Path(__file__).parents[2] / "openapi" / "engage.yaml"
MODES = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]
TRIES = 20

schema: Any = schemathesis.openapi.from_dict(
    yaml.load(CONTRACT.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
)
schema.config.checks.positive_data_acceptance.expected_statuses += ["422"]
OPERATIONS: Mapping[str, Any] = {
    operation.definition.raw["operationId"]: operation
    for operation in (found.ok() for found in schema.get_all_operations())
}

# What a schema cannot say: which cursors are ours, what is a date or a time, that one of two fields is
# needed, that a number is not 0, that an integer is not written as 5.0, that a parameter with nothing in it
# is one that was left out, what is a list of ids, that a wrong event of many is listed in the answer; and
# that no worker runs beside this test.
NOT_ALL_THAT_FITS = (
    *("listCredits", "listEntries", "listCoupons", "getMemberBalance", "advanceClock"),
    *("adjustPoints", "quoteCheckout", "holdPoints", "createWithdrawal"),
    *("listSegments", "updateSegment", "listAuditLog", "startBacktest", "listCampaigns", "duplicateCampaign"),
    *("listReferrals", "listSuspicions", "listDrawEntries", "getLeaderboard", "updateDisplayName"),
)
BEYOND_SCHEMAS = {
    **{name: [positive_data_acceptance] for name in NOT_ALL_THAT_FITS},
    "getLiabilityReport": [positive_data_acceptance, negative_data_rejection],
    "sendEvents": [negative_data_rejection],
    "getReadiness": [not_a_server_error],
}

Send = Callable[[str, Any], None]


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_answers_as_its_contract_says(
    name: str, send: Send, request: pytest.FixtureRequest
) -> None:
    count = request.config.getoption("--cases")
    wrong: dict[str, str] = {}
    sent = 0

    def check(case: Any) -> None:
        nonlocal sent
        sent += 1
        try:
            send(name, case)
        except FailureGroup as found:
            for failure in found.exceptions:
                wrong.setdefault(
                    f"{type(failure).__name__} {getattr(failure, 'status_code', '')}", str(found)
                )

    each = max(1, count // len(OPERATIONS))
    if count > CASES:
        for case in systematic_cases(name, most=each):
            check(case)
    # By default half of the operations get a right request, and the others a wrong one.
    modes = MODES if each > 1 else [MODES[list(OPERATIONS).index(name) % 2]]
    for mode in modes:
        drawn_cases(name, mode, max(1, (each - sent) // len(modes)), check)
    print(f"{name}: {sent} requests")  # noqa: T201  # With -s, progress of a long run.
    assert not wrong, "\n".join(wrong.values())


def systematic_cases(name: str, *, most: int) -> Iterator[Any]:
    """Yield cases with one mistake each, and with values at their bounds: `most` of them, from everywhere."""
    found = list(
        schema.iter_coverage_cases(
            OPERATIONS[name], generation_modes=MODES, generation_config=schema.config.generation
        )
    )
    yield from islice(found[:: max(1, len(found) // most)], most)


def drawn_cases(name: str, mode: GenerationMode, count: int, check: Callable[[Any], None]) -> None:
    """Check so many cases of hypothesis. There is no wrong request where there is nothing to send."""

    @settings(max_examples=count, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(OPERATIONS[name].as_strategy(generation_mode=mode))
    def each(case: Any) -> None:
        check(case)

    with suppress(Unsatisfiable):
        each()


@pytest.fixture(scope="module")
async def server(
    module_installed: Settings, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[ApiProcess]:
    unlimited = replace(module_installed, limit_member="", limit_key="", limit_network="")
    async with api_process(unlimited, tmp_path_factory.mktemp("api")) as running:
        yield running


@pytest.fixture(scope="module")
async def credentials(server: ApiProcess) -> dict[str, str]:
    """Authorization by security scheme."""
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
        made = await client.post("/v1/sandbox/members", json={"program": "eu-mi-points"})
        known = (await client.get("/v1/sandbox")).json()
    return {
        "member": f"Bearer {made.json()['token']}",
        "shop": f"Bearer {known['shop_key']}",
        "operator": f"Bearer {known['admin_key']}",
        "approver": f"Bearer {known['approver_key']}",
    }


@pytest.fixture(scope="module")
def send(server: ApiProcess, credentials: dict[str, str]) -> Iterator[Send]:
    """Send a case, and check its answer by all checks of schemathesis."""
    with requests.Session() as session:

        def sending(name: str, case: Any) -> None:
            if case.method == "OPTIONS":
                return  # Each path answers it, whatever its operations.
            security = OPERATIONS[name].definition.raw["security"]
            needed = next((scheme for requirement in security for scheme in requirement), None)
            headers = {"Authorization": credentials[needed]} if needed else {}
            for _ in range(TRIES):
                answer = case.call(base_url=server.url, headers=headers, session=session)
                if answer.status_code != 503 or "retry-after" not in answer.headers:
                    break
            case.validate_response(
                answer,
                headers=headers,
                transport_kwargs={"base_url": server.url},
                excluded_checks=BEYOND_SCHEMAS.get(name, []),
            )

        yield sending
