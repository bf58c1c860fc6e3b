from pathlib import Path

import msgspec
import pytest

from engage.domain.accounts.balance import Balance
from engage.feed import messages
from engage.feed.asyncapi import document, render
from engage.feed.messages import BalanceChange, FeedBalance, Outgoing, Snapshot

COMMITTED = Path(__file__).parents[2] / "openapi" / "feed.yaml"


def test_the_committed_contract_is_up_to_date() -> None:
    assert COMMITTED.read_text() == render(), "run: uv run python -m engage.feed.asyncapi > openapi/feed.yaml"


def test_every_reference_resolves() -> None:
    whole = document()
    for reference in references(whole):
        node = whole
        for step in reference.removeprefix("#/").split("/"):
            node = node[step]


def test_descriptions_are_no_indented_blocks() -> None:
    """In Markdown, a line that begins with four blanks is code."""
    described = descriptions(document())
    assert described
    assert [text for text in described if "\n " in text] == []


def descriptions(node: object) -> list[str]:
    if isinstance(node, dict):
        here = [node["description"]] if "description" in node else []
        return here + [text for child in node.values() for text in descriptions(child)]
    return []


def references(node: object) -> list[str]:
    if isinstance(node, dict):
        here = [node["$ref"]] if "$ref" in node else []
        return here + [reference for child in node.values() for reference in references(child)]
    if isinstance(node, list):
        return [reference for child in node for reference in references(child)]
    return []


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (messages.snapshot(Balance(4, 3, 2, 1, 5)), Snapshot(5, FeedBalance(4, 3, 2, 1))),
        (
            messages.balance_changed(Balance(4, 3, 2, 1, 5), "tap"),
            BalanceChange(5, FeedBalance(4, 3, 2, 1), "tap"),
        ),
    ],
)
def test_messages_match_the_contract(sent: bytes, message: Outgoing) -> None:
    assert msgspec.json.decode(sent, type=Snapshot | BalanceChange) == message
