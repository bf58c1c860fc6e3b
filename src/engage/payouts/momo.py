"""MTN MoMo's disbursement API: https://momodeveloper.mtn.com.

Only an explicit refusal counts as declined. Anything that may have been cut off, or has not the documented
shape, is unclear, and is asked about.
"""

import asyncio
import re
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import httpx
import msgspec
from babel.numbers import get_currency_precision
from msgspec import Struct

from engage.decoding.bounded import UNCOMPRESSED, read_at_most
from engage.decoding.json_text import decode_json
from engage.decoding.malformed import Malformed
from engage.domain.withdrawals.withdrawal import (
    Accepted,
    Declined,
    NotReceived,
    NotSent,
    Outcome,
    Paid,
    Unclear,
)
from engage.payouts.port import Payout

# For a whole call, also when its answer arrives slowly. Sending takes two calls at most, as the token may be
# old, and both must end before the payout is first asked about.
CALL_S: Final = 10.0
CONNECT_S: Final = 5.0
CONNECTIONS: Final = 16

# A token is renewed this long before it expires.
RENEW_BEFORE_S: Final = 60.0

REASON_LENGTH: Final = 64

ANSWER_BYTES: Final = 64 * 1024

# Up to nine digits more than the largest payout. Longer numbers are not read: a Decimal takes any exponent.
_AMOUNT = re.compile(r"[0-9]{1,18}(\.[0-9]{1,6})?")
MESSAGE: Final = "Withdrawal of points"


class MomoAccount(Struct, frozen=True):
    """`environment` is MTN's name of the country's platform (X-Target-Environment), such as mtnbenin, or
    sandbox. `user` and `key` are those of the API user.
    """

    url: str
    environment: str
    subscription_key: str
    user: str
    key: str

    def __repr__(self) -> str:
        return f"MomoAccount({self.url!r}, {self.environment!r})"  # No secrets in logs.


class _Token(Struct, frozen=True):
    access_token: str
    expires_in: float | str


class _Fault(Struct, frozen=True):
    """The body of most errors, and the reason of a failed transfer."""

    code: str = ""
    message: str = ""


class _Transfer(Struct, frozen=True, rename="camel"):
    status: str
    amount: str | float | None = None
    currency: str | None = None
    financial_transaction_id: str | int | None = None
    reason: _Fault | str | None = None


_token = msgspec.json.Decoder(_Token)
_faulty = msgspec.json.Decoder(_Fault)
_transferred = msgspec.json.Decoder(_Transfer)


class _NoTokenError(Exception):
    """There is no token: the account is refused, or the provider does not answer."""


class MomoProvider:
    """`accounts` returns what is in force, the newest first. They differ in their secrets."""

    name: Final = "momo"

    def __init__(self, accounts: Callable[[], Sequence[MomoAccount]]) -> None:
        self._accounts = accounts
        self._account = first = accounts()[0]  # That of the token.
        self._client = httpx.AsyncClient(
            base_url=first.url,
            timeout=httpx.Timeout(CALL_S, connect=CONNECT_S),
            limits=httpx.Limits(max_connections=CONNECTIONS),
            headers={"X-Target-Environment": first.environment} | UNCOMPRESSED,
            trust_env=False,
        )
        self._token = ""
        self._token_until = float("-inf")  # By the monotonic clock, in seconds.
        self._renewing = asyncio.Lock()

    async def send(self, payout: Payout, *, at: datetime) -> Outcome:
        try:
            credentials = await self._authorized()
        except _NoTokenError as error:
            return NotSent(str(error))
        try:
            answer = await self._call(
                "POST",
                "/disbursement/v1_0/transfer",
                headers=credentials | {"X-Reference-Id": str(payout.reference)},
                json=_transfer(payout),
            )
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            return NotSent(_describe(error))  # There was no connection.
        except (httpx.HTTPError, TimeoutError) as error:
            return Unclear(_describe(error))
        return self._sent(answer)

    def _sent(self, answer: httpx.Response) -> Outcome:
        code = _fault(answer).code
        match answer.status_code:
            case 202:
                return Accepted()
            case 409 if code == "RESOURCE_ALREADY_EXIST":
                return Accepted()  # It has this reference already.
            case 400:
                return Declined(_reason(code or "bad_request"))
            case 401:
                self._token_until = float("-inf")
                return NotSent("not let in")
            case 403 | 404 | 429:
                return NotSent(f"status {answer.status_code}")  # Refused before it was read.
            case status:
                return Unclear(f"status {status}")

    async def ask(self, payout: Payout, *, at: datetime) -> Outcome:
        try:
            credentials = await self._authorized()
            answer = await self._call(
                "GET", f"/disbursement/v1_0/transfer/{payout.reference}", headers=credentials
            )
        except (_NoTokenError, httpx.HTTPError, TimeoutError) as error:
            return Unclear(_describe(error))
        match answer.status_code:
            case 200:
                return _outcome(answer)
            case 404 if _fault(answer).code == "RESOURCE_NOT_FOUND":
                return NotReceived()  # A gateway's own 404 has another code.
            case 401:
                self._token_until = float("-inf")
                return Unclear("not let in")
            case status:
                return Unclear(f"status {status}")

    async def close(self) -> None:
        await self._client.aclose()

    async def _authorized(self) -> dict[str, str]:
        """The headers with a token that is still valid. Raises _NoTokenError."""
        try:
            # Waiting for another task that renews the token takes no longer than a call.
            async with asyncio.timeout(CALL_S), self._renewing:
                accounts = self._accounts()
                if time.monotonic() >= self._token_until or self._account not in accounts:
                    self._account, self._token, lasts_s = await self._new_token(accounts)
                    self._token_until = time.monotonic() + lasts_s - RENEW_BEFORE_S
                return _subscribed(self._account) | {"Authorization": f"Bearer {self._token}"}
        except TimeoutError:
            raise _NoTokenError("no token: it takes too long") from None

    async def _new_token(self, accounts: Sequence[MomoAccount]) -> tuple[MomoAccount, str, float]:
        """Returns (account, token, seconds until it expires) of the first account that is not refused.

        Raises _NoTokenError.
        """
        try:
            for account in accounts:
                answer = await self._call(
                    "POST",
                    "/disbursement/token/",
                    headers=_subscribed(account),
                    auth=httpx.BasicAuth(account.user, account.key),
                )
                if answer.status_code != httpx.codes.UNAUTHORIZED:
                    break
            if answer.status_code != 200:
                raise _NoTokenError(f"no token: status {answer.status_code}")
            token = decode_json(answer.content, _token, limit_bytes=ANSWER_BYTES)
            return account, token.access_token, float(token.expires_in)
        except (httpx.HTTPError, ValueError) as error:
            # The message of a decoder may quote the token.
            raise _NoTokenError(f"no token: {type(error).__name__}") from None

    async def _call(self, method: str, path: str, **sent: Any) -> httpx.Response:
        """Read an answer to ANSWER_BYTES. A longer one is cut, and so is no document.

        Raises httpx.HTTPError, or TimeoutError when the whole call takes too long.
        """
        async with asyncio.timeout(CALL_S), self._client.stream(method, path, **sent) as answer:
            body = await read_at_most(answer.aiter_raw(), ANSWER_BYTES)
        return httpx.Response(answer.status_code, content=body)


def _subscribed(account: MomoAccount) -> dict[str, str]:
    return {"Ocp-Apim-Subscription-Key": account.subscription_key}


def _transfer(payout: Payout) -> dict[str, Any]:
    return {
        "amount": _as_amount(payout.amount_minor, payout.currency),
        "currency": payout.currency,
        "externalId": str(payout.reference),
        "payee": {"partyIdType": "MSISDN", "partyId": payout.phone.removeprefix("+")},
        "payerMessage": MESSAGE,
        "payeeNote": MESSAGE,
    }


def _outcome(answer: httpx.Response) -> Outcome:
    """The outcome that a transfer's state says."""
    try:
        transfer = decode_json(answer.content, _transferred, limit_bytes=ANSWER_BYTES)
    except Malformed:
        return Unclear("an answer that is no transfer")
    match transfer.status:
        case "SUCCESSFUL":
            number = transfer.financial_transaction_id
            return Paid(
                None if number is None else str(number),
                _as_minor(transfer.amount, transfer.currency),
                transfer.currency,
            )
        case "FAILED":
            reason = transfer.reason
            code = reason.code if isinstance(reason, _Fault) else reason
            return Declined(_reason(code or "failed"))
        case "PENDING":
            return Accepted()
        case _:
            return Unclear("an unknown status")


def _fault(answer: httpx.Response) -> _Fault:
    try:
        return decode_json(answer.content, _faulty, limit_bytes=ANSWER_BYTES)
    except Malformed:
        return _Fault()


def _as_amount(minor: int, currency: str) -> str:
    """The amount in the major unit: 1250 is 12.50 in EUR, and 1250 in XOF."""
    digits: int = get_currency_precision(currency)
    return f"{Decimal(minor).scaleb(-digits):.{digits}f}"


def _as_minor(amount: str | float | None, currency: str | None) -> int | None:
    """None if the amount cannot be read."""
    if amount is None or currency is None or not _AMOUNT.fullmatch(str(amount)):
        return None
    minor = Decimal(str(amount)).scaleb(get_currency_precision(currency))
    return int(minor) if minor == int(minor) else None


def _reason(code: str) -> str:
    return code.lower()[:REASON_LENGTH]


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
