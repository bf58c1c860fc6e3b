"""Requests in which a refusal can occur: by what their caller wants to do, and by their kind."""

from enum import Enum, auto
from typing import Final


class UseCase(Enum):
    """The purpose of an operation. Operations that do the same share one."""

    RECORD_FUEL_TAP = auto()
    RECORD_SHARE = auto()
    RECORD_REVIEW = auto()
    RECORD_VISIT = auto()
    TAKE_EVENT = auto()  # One of the events of a request; its refusal is an item of the answer.
    BUY_FREEZE = auto()
    LIST_REWARDS = auto()
    REDEEM_REWARD = auto()
    REDEEM_F_CODE = auto()
    VOID_COUPON = auto()
    LIST_QUIZZES = auto()
    START_QUIZ = auto()
    ANSWER_QUIZ = auto()
    QUOTE_CHECKOUT = auto()
    HOLD_POINTS = auto()
    END_HOLD = auto()
    LIST_LEADERBOARDS = auto()
    READ_LEADERBOARD = auto()
    LIST_GAMES = auto()
    READ_GAME = auto()
    PLAY_GAME = auto()
    PASS_F_CODE = auto()
    WAIT_FOR_REWARD = auto()
    WITHDRAW = auto()
    END_WITHDRAWAL = auto()
    ENTER_DRAW = auto()
    READ_DRAW = auto()
    REGISTER_MEMBER = auto()
    CHANGE_MEMBER = auto()
    READ_MEMBER = auto()
    ADJUST_POINTS = auto()
    MERGE_MEMBERS = auto()
    ERASE_MEMBER = auto()
    READ_REFERRALS = auto()
    CLAIM_REFERRAL = auto()
    DECIDE_REFERRAL = auto()
    DECIDE_SUSPICION = auto()
    READ_PROGRAM = auto()
    LIST_VERSIONS = auto()
    READ_VERSION = auto()
    PUBLISH_VERSION = auto()
    READ_DEFINITION = auto()
    ADD_DEFINITION = auto()
    CHANGE_DEFINITION = auto()
    READ_SEGMENT = auto()
    CHANGE_SEGMENT = auto()
    READ_CAMPAIGN = auto()
    TRY_ACTIVITY = auto()  # A dry run.
    SIMULATE_CAMPAIGNS = auto()
    CREATE_CAMPAIGN = auto()
    CHANGE_CAMPAIGN = auto()
    DUPLICATE_CAMPAIGN = auto()
    SUBMIT_CAMPAIGN = auto()
    APPROVE_CAMPAIGN = auto()
    MOVE_CAMPAIGN = auto()  # Reject, pause, resume, end.
    START_BACKTEST = auto()
    CANCEL_BACKTEST = auto()
    GRANT_BACKTEST = auto()
    REPORT_LIABILITY = auto()
    REPORT_BALANCE = auto()
    ISSUE_TOKEN = auto()
    ADVANCE_CLOCK = auto()


class RequestKind(Enum):
    """A property of a request, whatever its use case. An operation's kinds follow from its declaration."""

    ANY = auto()
    OF_NO_OPERATION = auto()
    USING_SERVICES = auto()  # All but health checks.
    LIMITED = auto()  # Callers may ask only so often: all but health checks and the sandbox.
    WITH_CREDENTIALS = auto()
    WITH_API_KEY = auto()
    WITH_BODY = auto()
    WITH_UUID_IN_PATH = auto()
    OF_SANDBOX = auto()
    OF_SANDBOX_WITH_BODY = auto()
    IDEMPOTENT = auto()  # Its answer is kept under an Idempotency-Key.
    COVERED_BY_KEY = auto()  # What it does is done once for each Idempotency-Key.
    WITH_REQUIRED_KEY = auto()  # Needs an Idempotency-Key.


RECORD: Final = {UseCase.RECORD_FUEL_TAP, UseCase.RECORD_SHARE, UseCase.RECORD_REVIEW, UseCase.RECORD_VISIT}
CHECKOUT: Final = {UseCase.QUOTE_CHECKOUT, UseCase.HOLD_POINTS}
MEMBERS: Final = {
    UseCase.READ_MEMBER,
    UseCase.ADJUST_POINTS,
    UseCase.CHANGE_MEMBER,
    UseCase.MERGE_MEMBERS,
    UseCase.ERASE_MEMBER,
}
DEFINITIONS: Final = {UseCase.ADD_DEFINITION, UseCase.CHANGE_DEFINITION}
CAMPAIGN_DOCUMENTS: Final = {UseCase.CREATE_CAMPAIGN, UseCase.CHANGE_CAMPAIGN, UseCase.DUPLICATE_CAMPAIGN}
CAMPAIGN_ACTIONS: Final = {UseCase.SUBMIT_CAMPAIGN, UseCase.APPROVE_CAMPAIGN, UseCase.MOVE_CAMPAIGN}
GAMES: Final = {UseCase.READ_GAME, UseCase.PLAY_GAME}
QUIZZES: Final = {UseCase.START_QUIZ, UseCase.ANSWER_QUIZ}
REPORTS: Final = {UseCase.REPORT_LIABILITY, UseCase.REPORT_BALANCE}
