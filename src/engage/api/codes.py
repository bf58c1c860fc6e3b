"""Every code that a problem document can have: its status, and an example of its facts.

The messages for people are in `messages/`, one file a language; a test holds that each code is in each of
them, and that no message needs a fact that is not here.
"""

from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

_TOMORROW = datetime(2026, 11, 21, 23, 0, tzinfo=UTC)
_HOLD_ID = "019aa3c0-7c1e-7b6a-9d6e-2f1f0f6d3a10"
_COUPON_CODE = "7QK2M-0X4TZ-9BVHC-3RNWJ"
_NEXT_MONTH = datetime(2026, 11, 30, 23, 0, tzinfo=UTC)


class Code(Struct, frozen=True):
    status: int
    facts: dict[str, Any] = {}


CODES: dict[str, Code] = {
    # Of any request.
    "invalid_request": Code(
        400, {"errors": [{"field": "product_id", "message": "Object missing required field"}]}
    ),
    "unauthorized": Code(401),
    "forbidden": Code(403, {"scope": "shop"}),
    "not_found": Code(404),
    "method_not_allowed": Code(405, {"allowed": ["GET"]}),
    "request_timeout": Code(408),
    "body_too_large": Code(413, {"limit_bytes": 65_536}),
    "internal_error": Code(500),
    "unavailable": Code(503, {"part": "postgres", "retry_after_s": 1}),
    # Of a request with an Idempotency-Key.
    "request_in_flight": Code(409, {"retry_after_s": 1}),
    "idempotency_key_reused": Code(422),
    # Of activities.
    "not_offered": Code(404),
    "already_tapped": Code(
        409, {"next_tap_at": _TOMORROW, "rule": "fuel", "version": "2022", "zone": "Europe/Madrid"}
    ),
    "already_rewarded": Code(409, {"rule": "review", "version": "2022"}),
    "activity_removed": Code(409),
    "limit_reached": Code(
        429,
        {
            "limit": 3,
            "resets_at": _NEXT_MONTH,
            "rule": "share_link",
            "version": "2022",
            "zone": "Europe/Madrid",
        },
    ),
    # Of joining.
    "unknown_program": Code(404, {"program": "eu-mi-points"}),
    "member_exists": Code(409),
    "person_has_account": Code(409),
    "card_taken": Code(409, {"card_numbers": ["4929001"]}),
    "not_eligible": Code(422, {"reasons": ["under_age"]}),
    "invalid_phone": Code(422),
    "member_erased": Code(410),
    # Of the checkout and of rewards.
    "not_payable_with_points": Code(422, {"max_points": 0, "reasons": ["payment_method"]}),
    "hold_closed": Code(409, {"hold_id": _HOLD_ID, "state": "released"}),
    "order_has_hold": Code(409, {"hold_id": _HOLD_ID, "state": "open"}),
    "unknown_coupon": Code(404, {"coupon_code": _COUPON_CODE}),
    "coupon_not_applicable": Code(422, {"coupon_code": _COUPON_CODE, "reasons": ["minimum_order"]}),
    "coupon_closed": Code(409, {"coupon_code": _COUPON_CODE, "state": "used"}),
    "unknown_reward": Code(404),
    "sold_out": Code(409, {"reward": "coupon_5"}),
    "reward_limit_reached": Code(409, {"limit": 1, "rule": "coupon_5", "version": "2022"}),
    # Of withdrawals.
    "not_open_yet": Code(403, {"opens_at": _NEXT_MONTH, "zone": "Africa/Ouagadougou"}),
    "below_minimum": Code(409, {"minimum": 50, "active": 5}),
    "daily_points_reached": Code(
        429, {"limit": 500, "remaining": 100, "resets_at": _TOMORROW, "zone": "Africa/Ouagadougou"}
    ),
    "number_changed": Code(409, {"allowed_at": _TOMORROW, "zone": "Africa/Ouagadougou"}),
    "phone_unusable": Code(422, {"reasons": ["phone_country"]}),
    "not_whole_money": Code(422, {"step": 10}),
    "withdrawal_closed": Code(409, {"state": "settled"}),
    "withdrawal_under_way": Code(409, {"state": "submitted"}),
    # Of the shop's events, each by itself: these have no status of their own.
    "invalid_event": Code(
        400, {"errors": [{"field": "time", "message": "Invalid RFC3339 encoded datetime"}]}
    ),
    "unknown_type": Code(400, {"event_type": "app.opened"}),
    "member_missing": Code(400),
    "unknown_member": Code(404),
    "time_in_future": Code(400),
    "order_conflict": Code(409, {"order_id": "o-1"}),
    "wrong_currency": Code(422, {"currency": "EUR"}),
    "unknown_hold": Code(404),
    "not_bought": Code(409, {"order_id": "o-1", "line_id": "1"}),
    "too_many_returns": Code(409, {"limit": 1000}),
    # Of operators and the sandbox.
    "version_exists": Code(409, {"program": "eu-mi-points", "version": "2022"}),
    "versions_conflict": Code(409, {"problems": ["countries.FR.zone: expected Europe/Paris, as before"]}),
    "document_unproved": Code(422, {"problems": ["examples[0], total: expected 50 points, got 30 points"]}),
    "member_merged": Code(409, {"into": "m-1"}),
    "points_held": Code(409, {"member_id": "m-1"}),
    "reference_used": Code(409, {"reference": "T-1"}),
    "insufficient_points": Code(409, {"active": 5, "points": 10}),
    "invalid_document": Code(422, {"problems": ["rules[0].award.points: expected 1 or more, got 0"]}),
    "clock_backwards": Code(409, {"now": _TOMORROW}),
}
