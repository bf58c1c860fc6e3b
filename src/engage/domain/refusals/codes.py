"""The catalogue: every code, with its status, its facts, and the requests in which it can occur.

A feature adds its use cases to `UseCase` and its codes to `Code`. Clients may rely on codes, so a code never
changes its meaning. A limit of the rules is a 409: a 429 is throttling alone, and client libraries wait as
long as its Retry-After says, which can be weeks.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Self

from engage.domain.refusals.facts import (
    COUPON_CODE,
    HOLD_ID,
    MADRID,
    NEXT_MONTH,
    OUAGADOUGOU,
    TOMORROW,
    Fact,
    one_error,
)
from engage.domain.refusals.use_cases import (
    CAMPAIGN_ACTIONS,
    CAMPAIGN_DOCUMENTS,
    CHECKOUT,
    DEFINITIONS,
    GAMES,
    MEMBERS,
    QUIZZES,
    RECORD,
    REPORTS,
    RequestKind,
    UseCase,
)

_U: Final = UseCase
_R: Final = RequestKind


class Code(StrEnum):
    """A code, its status, where it can occur, and an example of each of its facts."""

    status: int
    occurs_in: frozenset[UseCase | RequestKind]
    facts: Mapping[str, Fact]

    def __new__(
        cls,
        code: str,
        status: int,
        occurs_in: set[UseCase] | set[RequestKind] | set[UseCase | RequestKind],
        examples: Mapping[str, Any] | None = None,
    ) -> Self:
        member = str.__new__(cls, code)
        member._value_ = code
        member.status = status
        member.occurs_in = frozenset(occurs_in)
        member.facts = {
            name: example if isinstance(example, Fact) else Fact(type(example), example)
            for name, example in (examples or {}).items()
        }
        return member

    @property
    def examples(self) -> dict[str, Any]:
        """The facts' examples by name."""
        return {name: fact.example for name, fact in self.facts.items()}

    @classmethod
    def named(cls, code: str) -> Self | None:
        return next((member for member in cls if member == code), None)

    # Requests.
    INVALID_REQUEST = (
        "invalid_request",
        400,
        {_R.USING_SERVICES},
        one_error("product_id", "expected 1 to 128 characters on one line, got nothing"),
    )
    UNAUTHORIZED = "unauthorized", 401, {_R.WITH_CREDENTIALS}
    FORBIDDEN = "forbidden", 403, {_R.WITH_API_KEY}, {"scope": "shop"}
    OTHER_PROGRAM = (
        "other_program",
        403,
        {_R.WITH_API_KEY, _U.TAKE_EVENT},
        {"program": "eu-mi-points"},
    )
    NOT_FOUND = (
        "not_found",
        404,
        {
            _R.OF_NO_OPERATION,
            _R.WITH_UUID_IN_PATH,
            _U.READ_VERSION,
            _U.READ_DEFINITION,
            _U.READ_SEGMENT,
            _U.ENTER_DRAW,
            _U.READ_DRAW,
            _U.READ_LEADERBOARD,
            _U.CHANGE_DEFINITION,
            _U.READ_CAMPAIGN,
            _U.CHANGE_CAMPAIGN,
            _U.DUPLICATE_CAMPAIGN,
            *CAMPAIGN_ACTIONS,
            *GAMES,
            *QUIZZES,
        },
    )
    METHOD_NOT_ALLOWED = "method_not_allowed", 405, {_R.OF_NO_OPERATION}, {"allowed": ["GET"]}
    WRONG_HOST = "wrong_host", 421, {_R.OF_SANDBOX}
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type", 415, {_R.OF_SANDBOX_WITH_BODY}
    REQUEST_TIMEOUT = "request_timeout", 408, {_R.WITH_BODY}
    BODY_TOO_LARGE = "body_too_large", 413, {_R.WITH_BODY}, {"limit_bytes": 65_536}
    RATE_LIMITED = (
        "rate_limited",
        429,
        {_R.LIMITED, _R.OF_NO_OPERATION},
        {"policy": "member", "retry_after_s": 1},
    )
    INTERNAL_ERROR = "internal_error", 500, {_R.ANY}
    UNAVAILABLE = "unavailable", 503, {_R.USING_SERVICES}, {"part": "postgres", "retry_after_s": 1}
    REQUEST_IN_FLIGHT = "request_in_flight", 409, {_R.COVERED_BY_KEY}, {"retry_after_s": 1}
    IDEMPOTENCY_KEY_REQUIRED = "idempotency_key_required", 400, {_R.WITH_REQUIRED_KEY}
    IDEMPOTENCY_KEY_REUSED = "idempotency_key_reused", 422, {_R.IDEMPOTENT}

    # Activities.
    NOT_OFFERED = (
        "not_offered",
        404,
        {
            *RECORD,
            *CHECKOUT,
            _U.LIST_LEADERBOARDS,
            _U.READ_LEADERBOARD,
            _U.LIST_GAMES,
            *GAMES,
            _U.BUY_FREEZE,
            _U.LIST_REWARDS,
            _U.REDEEM_REWARD,
            _U.WAIT_FOR_REWARD,
            _U.WITHDRAW,
            _U.READ_REFERRALS,
            _U.CLAIM_REFERRAL,
            _U.TAKE_EVENT,
            _U.READ_PROGRAM,
            _U.LIST_QUIZZES,
            _U.ANSWER_QUIZ,
        },
    )
    SHARE_ID_MISSING = "share_id_missing", 422, {_U.RECORD_SHARE}
    ALREADY_TAPPED = (
        "already_tapped",
        409,
        {_U.RECORD_FUEL_TAP, _U.RECORD_VISIT},
        {"next_tap_at": TOMORROW, "rule": "fuel", "version": "2022", "zone": MADRID},
    )
    FREEZES_FULL = "freezes_full", 409, {_U.BUY_FREEZE}, {"limit": 2}
    ALREADY_REWARDED = (
        "already_rewarded",
        409,
        {_U.RECORD_REVIEW, _U.RECORD_VISIT},
        {"rule": "review", "version": "2022"},
    )
    ACTIVITY_REMOVED = "activity_removed", 409, {_U.RECORD_SHARE, _U.RECORD_REVIEW}
    LIMIT_REACHED = (
        "limit_reached",
        409,
        {*RECORD, _U.REDEEM_REWARD, _U.WITHDRAW, _U.CLAIM_REFERRAL},
        {
            "limit": 3,
            "window": "month",
            "resets_at": NEXT_MONTH,
            "rule": "share_link",
            "version": "2022",
            "zone": MADRID,
        },
    )

    # Events of the shop, each refused on its own: their statuses are not sent.
    INVALID_EVENT = (
        "invalid_event",
        400,
        {_U.TAKE_EVENT},
        one_error("data.lines[0].paid", "expected a whole number from 0 to 1000000000000, got -1"),
    )
    UNKNOWN_TYPE = "unknown_type", 400, {_U.TAKE_EVENT}, {"event_type": "app.opened"}
    MEMBER_MISSING = "member_missing", 400, {_U.TAKE_EVENT}
    TIME_IN_FUTURE = "time_in_future", 400, {_U.TAKE_EVENT}
    ORDER_CONFLICT = "order_conflict", 409, {_U.TAKE_EVENT, _U.HOLD_POINTS}, {"order_id": "o-1"}
    ORDER_CANCELLED = "order_cancelled", 409, {_U.HOLD_POINTS}, {"order_id": "o-1"}
    ID_REUSED = "id_reused", 409, {_U.TAKE_EVENT}, {"field": "return_id"}
    TOO_MANY_POINTS = (
        "too_many_points",
        422,
        {*RECORD, _U.PLAY_GAME, _U.TAKE_EVENT, _U.ADJUST_POINTS, _U.MERGE_MEMBERS, _U.REGISTER_MEMBER},
        {"limit": 1_000_000_000_000},
    )
    WRONG_CURRENCY = "wrong_currency", 422, {_U.TAKE_EVENT}, {"currency": "EUR"}
    NOT_BOUGHT = "not_bought", 409, {_U.TAKE_EVENT}, {"order_id": "o-1", "line_id": "1"}
    TOO_MANY_RETURNS = "too_many_returns", 409, {_U.TAKE_EVENT}, {"limit": 1000}

    # Checkout and rewards.
    INSUFFICIENT_POINTS = (
        "insufficient_points",
        409,
        {_U.HOLD_POINTS, _U.REDEEM_REWARD, _U.BUY_FREEZE, _U.WITHDRAW, _U.ADJUST_POINTS},
        {"active": 5, "points": 10},
    )
    BELOW_MINIMUM = "below_minimum", 409, {_U.HOLD_POINTS, _U.WITHDRAW}, {"minimum": 50, "active": 5}
    NOT_PAYABLE_WITH_POINTS = (
        "not_payable_with_points",
        422,
        {_U.HOLD_POINTS},
        {"max_points": 0, "reasons": ["payment_method"]},
    )
    UNKNOWN_HOLD = "unknown_hold", 404, {_U.END_HOLD, _U.TAKE_EVENT}
    HOLD_CLOSED = "hold_closed", 409, {_U.END_HOLD}, {"hold_id": HOLD_ID, "state": "released"}
    ORDER_HAS_HOLD = "order_has_hold", 409, {_U.HOLD_POINTS}, {"hold_id": HOLD_ID, "state": "open"}
    UNKNOWN_COUPON = (
        "unknown_coupon",
        404,
        {_U.HOLD_POINTS, _U.REDEEM_F_CODE, _U.VOID_COUPON, _U.PASS_F_CODE},
        {"coupon_code": COUPON_CODE},
    )
    COUPON_NOT_APPLICABLE = (
        "coupon_not_applicable",
        422,
        {_U.HOLD_POINTS, _U.REDEEM_F_CODE},
        {"coupon_code": COUPON_CODE, "reasons": ["minimum_order"]},
    )
    COUPON_CLOSED = (
        "coupon_closed",
        409,
        {_U.REDEEM_F_CODE, _U.VOID_COUPON, _U.PASS_F_CODE},
        {"coupon_code": COUPON_CODE, "state": "used"},
    )
    ALREADY_PASSED = "already_passed", 409, {_U.PASS_F_CODE}, {"coupon_code": COUPON_CODE}
    USED = "used", 409, {_U.PASS_F_CODE}, {"coupon_code": COUPON_CODE}
    UNKNOWN_RECIPIENT = "unknown_recipient", 404, {_U.PASS_F_CODE}, {"to_member_id": "m-2"}
    UNKNOWN_REWARD = "unknown_reward", 404, {_U.REDEEM_REWARD, _U.WAIT_FOR_REWARD}
    SOLD_OUT = "sold_out", 409, {_U.REDEEM_REWARD}, {"reward": "coupon_5"}
    REWARD_LIMIT_REACHED = (
        "reward_limit_reached",
        409,
        {_U.REDEEM_REWARD},
        {"limit": 1, "rule": "coupon_5", "version": "2022"},
    )

    # Games.
    NO_CHANCES_LEFT = (
        "no_chances_left",
        409,
        {_U.PLAY_GAME},
        {"resets_at": Fact(datetime, TOMORROW, nullable=True), "zone": OUAGADOUGOU},
    )

    # Quizzes.
    NO_ATTEMPTS_LEFT = (
        "no_attempts_left",
        409,
        {_U.START_QUIZ},
        {"resets_at": Fact(datetime, TOMORROW, nullable=True), "zone": MADRID},
    )
    ALREADY_ANSWERED = "already_answered", 409, {_U.ANSWER_QUIZ}
    ATTEMPT_EXPIRED = (
        "attempt_expired",
        410,
        {_U.ANSWER_QUIZ},
        {"expires_at": TOMORROW, "zone": MADRID},
    )

    # Withdrawals.
    NOT_OPEN_YET = (
        "not_open_yet",
        403,
        {_U.WITHDRAW},
        {"opens_at": Fact(datetime, NEXT_MONTH, nullable=True), "zone": OUAGADOUGOU},
    )
    DAILY_POINTS_REACHED = (
        "daily_points_reached",
        409,
        {_U.WITHDRAW},
        {"limit": 500, "remaining": 100, "resets_at": TOMORROW, "zone": OUAGADOUGOU},
    )
    NUMBER_TOO_NEW = (
        "number_too_new",
        409,
        {_U.WITHDRAW},
        {"allowed_at": TOMORROW, "zone": OUAGADOUGOU},
    )
    PHONE_UNUSABLE = "phone_unusable", 422, {_U.WITHDRAW}, {"reasons": ["phone_country"]}
    NOT_WHOLE_MONEY = "not_whole_money", 422, {_U.WITHDRAW}, {"step": 10}
    WITHDRAWAL_CLOSED = "withdrawal_closed", 409, {_U.END_WITHDRAWAL}, {"state": "settled"}
    WITHDRAWAL_UNDER_WAY = "withdrawal_under_way", 409, {_U.END_WITHDRAWAL}, {"state": "submitted"}

    # Draws.
    ALREADY_ENTERED = "already_entered", 409, {_U.ENTER_DRAW}, {"number": 17}
    DRAW_CLOSED = "draw_closed", 410, {_U.ENTER_DRAW}, {"closes_at": TOMORROW}
    DRAW_FULL = "draw_full", 409, {_U.ENTER_DRAW}, {"limit": 250_000}
    ENTRY_REJECTED = "entry_rejected", 422, {_U.ENTER_DRAW}, {"failed": ["hashtag", "mentions"]}

    # Referrals.
    UNKNOWN_CODE = "unknown_code", 404, {_U.CLAIM_REFERRAL}
    ALREADY_REFERRED = "already_referred", 409, {_U.CLAIM_REFERRAL}
    SELF_REFERRAL = "self_referral", 409, {_U.CLAIM_REFERRAL}
    CIRCULAR_REFERRAL = "circular_referral", 409, {_U.CLAIM_REFERRAL}
    TOO_LATE = "too_late", 409, {_U.CLAIM_REFERRAL}
    REFERRAL_CLOSED = "referral_closed", 409, {_U.DECIDE_REFERRAL}, {"state": "approved"}

    # Members.
    UNKNOWN_MEMBER = (
        "unknown_member",
        404,
        {*MEMBERS, *CHECKOUT, _U.REPORT_BALANCE, _U.TAKE_EVENT, _U.ISSUE_TOKEN, _U.TRY_ACTIVITY},
    )
    MEMBER_EXISTS = "member_exists", 409, {_U.REGISTER_MEMBER}
    PERSON_REF_REQUIRED = "person_ref_required", 422, {_U.REGISTER_MEMBER}
    PERSON_HAS_ACCOUNT = "person_has_account", 409, {_U.REGISTER_MEMBER}
    CARD_TAKEN = "card_taken", 409, {_U.REGISTER_MEMBER, _U.CHANGE_MEMBER}, {"card_numbers": ["4929001"]}
    NOT_ELIGIBLE = "not_eligible", 422, {_U.REGISTER_MEMBER}, {"reasons": ["under_age"]}
    INVALID_BIRTH_DATE = "invalid_birth_date", 422, {_U.REGISTER_MEMBER}
    INVALID_CARD = (
        "invalid_card",
        422,
        {_U.REGISTER_MEMBER, _U.CHANGE_MEMBER},
        {"card_numbers": ["№ 4929-001"]},
    )
    INVALID_PHONE = "invalid_phone", 422, {_U.REGISTER_MEMBER, _U.CHANGE_MEMBER, _U.WITHDRAW}
    MEMBER_ERASED = "member_erased", 410, {_U.REGISTER_MEMBER, _U.READ_MEMBER, _U.MERGE_MEMBERS}
    MEMBER_MERGED = "member_merged", 409, {_U.MERGE_MEMBERS}, {"into": "m-1"}
    POINTS_HELD = "points_held", 409, {_U.MERGE_MEMBERS, _U.ERASE_MEMBER}, {"member_id": "m-1"}
    REFERENCE_USED = "reference_used", 409, {_U.ADJUST_POINTS}, {"reference": "T-1"}

    # Programs and the sandbox.
    UNKNOWN_PROGRAM = (
        "unknown_program",
        404,
        {
            *CHECKOUT,
            *REPORTS,
            _U.REGISTER_MEMBER,
            _U.LIST_VERSIONS,
            _U.READ_VERSION,
            _U.TAKE_EVENT,
            _U.ISSUE_TOKEN,
            _U.CHANGE_SEGMENT,
        },
        {"program": "eu-mi-points"},
    )
    VERSION_EXISTS = (
        "version_exists",
        409,
        {_U.PUBLISH_VERSION},
        {"program": "eu-mi-points", "version": "2022"},
    )
    VERSIONS_CONFLICT = (
        "versions_conflict",
        409,
        {_U.PUBLISH_VERSION},
        {"problems": ["countries.FR.zone: expected Europe/Paris, as before"]},
    )
    INVALID_DOCUMENT = (
        "invalid_document",
        422,
        {
            _U.PUBLISH_VERSION,
            *DEFINITIONS,
            *CAMPAIGN_DOCUMENTS,
            _U.SUBMIT_CAMPAIGN,
            _U.APPROVE_CAMPAIGN,
            _U.START_BACKTEST,
            _U.TRY_ACTIVITY,
            _U.SIMULATE_CAMPAIGNS,
            _U.CHANGE_SEGMENT,
        },
        one_error("rules[0].award.points", "expected 1 or more, got 0"),
    )
    DOCUMENT_UNPROVED = (
        "document_unproved",
        422,
        {_U.PUBLISH_VERSION},
        {"problems": ["examples[0], total: expected 50 points, got 30 points"]},
    )
    IN_THE_PAST = (
        "in_the_past",
        409,
        {_U.PUBLISH_VERSION},
        {"in_force_from": "2022-09-01", "earliest": "2026-11-22"},
    )
    CLOCK_BACKWARDS = "clock_backwards", 409, {_U.ADVANCE_CLOCK}, {"now": TOMORROW}

    # Definitions that stand alone, and whatever else is changed with If-Match.
    EXISTS = (
        "exists",
        409,
        {_U.ADD_DEFINITION, _U.CREATE_CAMPAIGN, _U.DUPLICATE_CAMPAIGN},
        {"id": "spring-quiz"},
    )
    OF_A_DOCUMENT = "of_a_document", 409, {_U.CHANGE_DEFINITION}, {"id": "spring-quiz", "version": "2022"}
    IF_MATCH_REQUIRED = "if_match_required", 428, {_U.CHANGE_DEFINITION, _U.CHANGE_CAMPAIGN}
    CHANGED_MEANWHILE = (
        "changed_meanwhile",
        412,
        {_U.CHANGE_DEFINITION, _U.CHANGE_CAMPAIGN, *CAMPAIGN_ACTIONS},
        {
            "current_version": 2,
            "difference": [{"field": "title.en", "yours": "Spring", "theirs": "Spring week"}],
        },
    )

    # Campaigns.
    WRONG_STATE = (
        "wrong_state",
        409,
        {
            _U.CHANGE_CAMPAIGN,
            *CAMPAIGN_ACTIONS,
            _U.CANCEL_BACKTEST,
            _U.GRANT_BACKTEST,
            _U.DECIDE_SUSPICION,
        },
        {"state": "draft"},
    )
    NOT_APPROVED = "not_approved", 409, {_U.GRANT_BACKTEST}, {"campaign": "spring"}
    GRANTED_ALREADY = "granted_already", 409, {_U.GRANT_BACKTEST}, {"backtest_id": HOLD_ID}
    TOO_MANY_BACKTESTS = "too_many_backtests", 409, {_U.START_BACKTEST}, {"limit": 20}
    FOUR_EYES = "four_eyes", 403, {_U.APPROVE_CAMPAIGN, _U.GRANT_BACKTEST, _U.DECIDE_SUSPICION}
    BUDGET_EXHAUSTED = (
        "budget_exhausted",
        409,
        {*RECORD, _U.PLAY_GAME, _U.ENTER_DRAW, _U.ANSWER_QUIZ},
        {"campaign": "spring"},
    )
    EXAMPLE_FAILED = (
        "example_failed",
        422,
        {_U.SUBMIT_CAMPAIGN},
        {"problems": ["examples[0], total: expected 50 points, got 30 points"]},
    )


def codes_of(*places: UseCase | RequestKind) -> tuple[Code, ...]:
    """The codes that can occur in any of these, in the catalogue's order."""
    return tuple(code for code in Code if not code.occurs_in.isdisjoint(places))
