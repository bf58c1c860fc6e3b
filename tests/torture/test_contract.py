"""A run judges answers by the contract of the code that it runs."""

from pathlib import Path

from engage.torture.contract import make_contract


async def test_the_contract_has_the_statuses_of_each_operation(tmp_path: Path) -> None:
    contract = await make_contract(tmp_path)
    tap = contract["paths"]["/v1/fuel/taps"]["post"]
    assert tap["operationId"] == "recordFuelTap"
    assert {"202", "409", "503"} <= tap["responses"].keys()
