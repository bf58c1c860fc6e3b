"""MTN MoMo's disbursement API over HTTP: the outcome of each of its answers."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from engage.domain.withdrawals.withdrawal import Accepted, Declined, NotReceived, NotSent, Paid, Unclear
from engage.embedded.ports import free_port
from engage.live_settings import LiveSettings
from engage.payouts import momo as adapter
from engage.payouts.momo import MomoAccount, MomoProvider
from engage.payouts.port import Payout, PayoutProvider
from engage.runtime.payout_provider import open_provider
from engage.settings import Settings, SettingsError
from tests.payouts.momo_server import Momo, momo

AT = datetime(2026, 11, 21, 12, tzinfo=UTC)
NESTED: list[Any] = []
for _ in range(500):
    NESTED = [NESTED]
HTML = "<html><body>502 Bad Gateway</body></html>"


@pytest.fixture
async def server() -> AsyncIterator[Momo]:
    async with momo() as opened:
        yield opened


@pytest.fixture
async def provider(server: Momo) -> AsyncIterator[MomoProvider]:
    opened = MomoProvider(lambda: [server.account()])
    yield opened
    await opened.close()


def payout(amount_minor: int = 6_000, currency: str = "XOF") -> Payout:
    return Payout(uuid4(), amount_minor, currency, "+22670123456", AT)


async def test_a_payout_is_sent_in_the_documented_form(server: Momo, provider: MomoProvider) -> None:
    sent = payout()
    assert await provider.send(sent, at=AT) == Accepted()
    assert server.transfers[sent.reference].body == {
        "amount": "6000",
        "currency": "XOF",
        "externalId": str(sent.reference),
        "payee": {"partyIdType": "MSISDN", "partyId": "22670123456"},
        "payerMessage": "Withdrawal of points",
        "payeeNote": "Withdrawal of points",
    }
    assert await provider.ask(sent, at=AT) == Accepted()
    server.transfers[sent.reference].status = "SUCCESSFUL"
    assert await provider.ask(sent, at=AT) == Paid("363440463", 6_000, "XOF")


@pytest.mark.parametrize(
    ("minor", "currency", "amount"),
    [(1_250, "EUR", "12.50"), (7, "GBP", "0.07"), (100, "XOF", "100"), (1_250, "KWD", "1.250")],
)
async def test_amounts_have_the_digits_of_their_currency(
    server: Momo, provider: MomoProvider, minor: int, currency: str, amount: str
) -> None:
    sent = payout(minor, currency)
    await provider.send(sent, at=AT)
    assert server.transfers[sent.reference].body["amount"] == amount
    server.transfers[sent.reference].status = "SUCCESSFUL"
    assert await provider.ask(sent, at=AT) == Paid("363440463", minor, currency)


@pytest.mark.parametrize(
    "reason", ["PAYEE_NOT_FOUND", {"code": "PAYEE_NOT_FOUND", "message": "Payee does not exist"}]
)
async def test_a_failed_transfer_has_its_reason(server: Momo, provider: MomoProvider, reason: Any) -> None:
    sent = payout()
    await provider.send(sent, at=AT)
    server.transfers[sent.reference].status = "FAILED"
    server.transfers[sent.reference].reason = reason
    assert await provider.ask(sent, at=AT) == Declined("payee_not_found")


async def test_a_repeated_reference_was_accepted(server: Momo, provider: MomoProvider) -> None:
    sent = payout()
    assert await provider.send(sent, at=AT) == Accepted()
    assert await provider.send(sent, at=AT) == Accepted()
    assert len(server.transfers) == 1


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (400, {"code": "INVALID_CURRENCY", "message": "Currency not supported."}, Declined),
        (400, HTML, Declined),
        (401, {"message": "Unauthorized"}, NotSent),
        (403, {"code": "NOT_ALLOWED"}, NotSent),
        (404, {"statusCode": 404, "message": "Resource not found"}, NotSent),
        (429, None, NotSent),
        (408, None, Unclear),
        (409, {"code": "SOMETHING_ELSE"}, Unclear),
        (500, {"code": "INTERNAL_PROCESSING_ERROR"}, Unclear),
        (500, {"code": "NOT_ENOUGH_FUNDS"}, Unclear),
        (502, HTML, Unclear),
        (503, None, Unclear),
        (200, None, Unclear),
        (302, None, Unclear),
    ],
)
async def test_only_an_explicit_refusal_is_declined_when_sending(
    server: Momo, provider: MomoProvider, status: int, body: Any, outcome: type
) -> None:
    server.instead["transfer"] = (status, body)
    assert isinstance(await provider.send(payout(), at=AT), outcome)
    assert await provider.send(payout(), at=AT) == Accepted(), "the next one is sent as ever"


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (404, {"code": "RESOURCE_NOT_FOUND", "message": "Requested resource was not found."}, NotReceived),
        (404, {"statusCode": 404, "message": "Resource not found"}, Unclear),
        (404, HTML, Unclear),
        (200, {"status": "ON_ITS_WAY"}, Unclear),
        (200, {"amount": "6000"}, Unclear),
        (200, HTML, Unclear),
        (200, {"status": "SUCCESSFUL", "amount": "six", "currency": "XOF"}, Paid),
        (200, {"status": "SUCCESSFUL", "amount": "1e999999999", "currency": "XOF"}, Paid),
        (200, {"status": "FAILED"}, Declined),
        (200, {"status": "FAILED", "more": "x" * adapter.ANSWER_BYTES}, Unclear),
        (200, {"status": "FAILED", "more": NESTED}, Unclear),
        (400, {"code": "BAD_REQUEST"}, Unclear),
        (401, {"message": "Unauthorized"}, Unclear),
        (500, {"code": "INTERNAL_PROCESSING_ERROR"}, Unclear),
    ],
)
async def test_only_an_explicit_state_is_an_end_when_asking(
    server: Momo, provider: MomoProvider, status: int, body: Any, outcome: type
) -> None:
    server.instead["status"] = (status, body)
    assert isinstance(await provider.ask(payout(), at=AT), outcome)
    assert await provider.ask(payout(), at=AT) == NotReceived(), "the next one is asked about as ever"


async def test_a_token_is_used_until_it_expires(server: Momo, provider: MomoProvider) -> None:
    await asyncio.gather(*(provider.send(payout(), at=AT) for _ in range(8)))
    assert len(server.tokens) == 1
    server.expires_in = 30  # Shorter than RENEW_BEFORE_S.
    server.revoked = {*server.tokens}
    assert isinstance(await provider.send(payout(), at=AT), NotSent)
    for count in (2, 3):
        assert await provider.send(payout(), at=AT) == Accepted()
        assert len(server.tokens) == count
    assert len(server.transfers) == 10


@pytest.mark.parametrize(
    "instead", [(500, HTML), (401, {"error": "login_failed"}), (200, HTML), (200, {"expires_in": 1})]
)
async def test_without_a_token_nothing_is_sent(server: Momo, provider: MomoProvider, instead: Any) -> None:
    server.instead["token"] = instead
    assert isinstance(await provider.send(payout(), at=AT), NotSent)
    server.instead["token"] = instead
    assert isinstance(await provider.ask(payout(), at=AT), Unclear)
    assert server.transfers == {}


async def test_a_call_that_hangs_is_unclear_within_the_time_limit(
    server: Momo, provider: MomoProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    await provider.ask(payout(), at=AT)
    monkeypatch.setattr(adapter, "CALL_S", 0.2)
    server.hanging = {"transfer", "status"}
    sent = payout()
    assert await provider.send(sent, at=AT) == Unclear("TimeoutError")
    assert sent.reference in server.transfers
    assert await provider.ask(sent, at=AT) == Unclear("TimeoutError")


async def test_without_a_connection_nothing_was_sent() -> None:
    account = MomoAccount(f"http://127.0.0.1:{free_port('127.0.0.1')}", "x", "x", "x", "x")
    provider = MomoProvider(lambda: [account])
    assert isinstance(await provider.send(payout(), at=AT), NotSent)
    assert isinstance(await provider.ask(payout(), at=AT), Unclear)
    await provider.close()


async def test_secrets_are_not_shown(server: Momo) -> None:
    account = server.account(key="swordfish", subscription_key="swordfish")
    assert "swordfish" not in repr(account)
    provider = MomoProvider(lambda: [account])
    outcome = await provider.send(payout(), at=AT)
    await provider.close()
    assert isinstance(outcome, NotSent)
    assert "swordfish" not in outcome.reason


def test_missing_settings_are_named(servers: Settings) -> None:
    def opened(**changes: Any) -> PayoutProvider | None:
        return open_provider(LiveSettings(msgspec.structs.replace(servers, **changes)))

    with pytest.raises(
        SettingsError, match="ENGAGE_MOMO_SUBSCRIPTION_KEY, ENGAGE_MOMO_USER, ENGAGE_MOMO_KEY"
    ):
        opened(payouts="momo")
    assert opened(sandbox=None) is None
    assert opened(sandbox=None, payouts="sandbox") is not None
