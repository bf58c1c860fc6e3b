"""The contract of campaigns in tables: its calls, fields, refusals, states and documents.

The path of a field has a point for each step inwards, through lists too.
"""

from typing import Final

CAMPAIGNS: Final = "/v1/admin/campaigns"
ONE: Final = f"{CAMPAIGNS}/{{campaign_id}}"
BACKTESTS: Final = f"{CAMPAIGNS}/backtests"
BACKTEST: Final = f"{BACKTESTS}/{{backtest_id}}"

STATES: Final = "draft submitted scheduled running paused ended"

# The fields of a campaign's document.
CAMPAIGN_DOCUMENT: Final = (
    "id program title from until zone audience.countries audience.tiers audience.segments "
    "audience.joined_before audience.joined_after audience.first_order audience.no_order_for "
    "audience.percent holdout_percent boosts.id boosts.rules boosts.multiply boosts.add boosts.products "
    "boosts.categories boosts.channels boosts.min_amount_minor boosts.weekdays boosts.hours rules.id "
    "rules.on.activity rules.limit rules.award rules.due quizzes.id challenges.id games.id draws.id "
    "leaderboards.id offers.reward offers.points offers.percent offers.stock stacking.group "
    "stacking.priority stacking.exclusive stacking.max_multiplier budget.points budget.points_per_member "
    "budget.count budget.per_device budget.alerts examples.title examples.country examples.steps"
)

_RESULT: Final = (
    "result.activities result.granted_points result.would_points result.difference_points "
    "result.cost.amount result.cost.currency result.by_day result.gaining result.losing result.unchanged "
    "result.most_affected result.budget_hit_at result.double_dipping"
)

# Method, path, status; fields of the body; fields of the answer.
OPERATIONS: list[tuple[str, str, int, str, str]] = [
    (
        *("get", CAMPAIGNS, 200, ""),
        "items.id items.program items.title items.state items.version items.from items.until "
        "items.points_granted items.budget_left next_cursor",
    ),
    ("post", CAMPAIGNS, 201, CAMPAIGN_DOCUMENT, "id version state"),
    ("get", ONE, 200, "", "document state versions.version versions.state"),
    ("put", ONE, 200, CAMPAIGN_DOCUMENT, "version state"),
    ("post", f"{ONE}/submit", 200, "", "state version"),
    ("post", f"{ONE}/approve", 200, "", "state version"),
    ("post", f"{ONE}/reject", 200, "reason", "state version"),
    ("post", f"{ONE}/pause", 200, "", "state version"),
    ("post", f"{ONE}/resume", 200, "", "state version"),
    ("post", f"{ONE}/end", 200, "", "state version"),
    ("post", f"{ONE}/duplicate", 200, "new_id", "state version"),
    (
        *("post", f"{CAMPAIGNS}/dry-run", 200),
        "document.boosts campaign_ids program member_id facts.country facts.tier facts.joined_at "
        "activity.activity at",
        "credits.rule credits.campaign credits.boost credits.points credits.due_at trace.campaign "
        "trace.part trace.applied trace.reason trace.facts",
    ),
    (
        *("post", f"{CAMPAIGNS}/simulate", 200),
        "documents.boosts campaign_ids program country steps.at steps.do.activity",
        "steps.at steps.credits.rule steps.credits.points steps.balance.pending",
    ),
    ("post", BACKTESTS, 202, "document.boosts from until", "backtest_id"),
    ("get", BACKTEST, 200, "", f"state progress {_RESULT}"),
    ("delete", BACKTEST, 200, "", "state"),
    ("post", f"{BACKTEST}/grant", 202, "", "backtest_id"),
    ("get", BACKTESTS, 200, "", "items.backtest_id items.state items.progress next_cursor"),
    (
        *("get", f"{ONE}/report", 200, ""),
        "points_granted credits members by_hour.points by_country.points budget holdout.members "
        "holdout.rate holdout.uplift holdout.interval",
    ),
    (
        *("get", "/v1/admin/audit-log", 200, ""),
        "items.operator items.at items.subject items.action items.reason items.before items.after "
        "next_cursor",
    ),
    (
        *("put", "/v1/admin/segments/{segment_id}", 200, ""),
        "members added removed unknown unknown_ids.line unknown_ids.member_id",
    ),
    ("get", "/v1/admin/segments", 200, "", "items.id items.members next_cursor"),
    ("get", "/v1/me", 200, "", "campaigns.id campaigns.title campaigns.ends_at"),
    ("get", "/v1/me/credits", 200, "", "items.rule items.campaign items.boost items.source_key"),
    ("get", "/v1/sandbox", 200, "", "admin_key approver_key console.email console.password console.role"),
]

# Method, path, status, code, and the facts that clients read.
REFUSALS: list[tuple[str, str, int, str, str]] = [
    ("post", CAMPAIGNS, 422, "invalid_document", "errors"),
    ("post", CAMPAIGNS, 409, "exists", ""),
    ("put", ONE, 428, "if_match_required", ""),
    ("post", f"{ONE}/approve", 412, "changed_meanwhile", ""),
    ("post", f"{ONE}/reject", 412, "changed_meanwhile", ""),
    ("put", ONE, 412, "changed_meanwhile", "difference"),
    ("put", ONE, 409, "wrong_state", "state"),
    ("post", f"{ONE}/submit", 422, "example_failed", ""),
    ("post", f"{ONE}/approve", 403, "four_eyes", ""),
    ("post", f"{ONE}/duplicate", 409, "exists", ""),
    *(
        ("post", f"{ONE}/{action}", 409, "wrong_state", "state")
        for action in ("submit", "approve", "reject", "pause", "resume", "end")
    ),
]

# Where a field has one of a few values: method, path, status, the field, and the values.
VALUES: list[tuple[str, str, int, str, str]] = [
    ("get", CAMPAIGNS, 200, "items.state", STATES),
    ("get", ONE, 200, "state", STATES),
    ("get", ONE, 200, "versions.state", STATES),
    ("post", f"{ONE}/submit", 200, "state", STATES),
    ("get", BACKTEST, 200, "state", "running done cancelled failed"),
]

PARAMETERS: list[tuple[str, str, str]] = [
    ("get", CAMPAIGNS, "program state from until cursor"),
    ("get", ONE, "version"),
    ("get", "/v1/admin/audit-log", "subject"),
]

# The words that `GET /v1/admin/campaigns?state=` takes.
STATE_WORDS: Final = (*STATES.split(), "approved", "rejected")
