"""The contract of engagement in tables: its calls, fields, refusals and documents.

The path of a field has a point for each step inwards, through lists too.
"""

# Method, path, status; fields of the body; fields of the answer.
ENGAGEMENT: list[tuple[str, str, int, str, str]] = [
    (
        *("get", "/v1/quizzes", 200, ""),
        "items.id items.title items.questions items.time_limit_s items.attempts_left items.resets_at "
        "items.points_max items.closes_at",
    ),
    (
        *("post", "/v1/quizzes/{quiz_id}/attempts", 201, ""),
        "attempt_id questions.id questions.kind questions.text questions.options.id questions.options.text "
        "expires_at",
    ),
    (
        *("post", "/v1/quizzes/{quiz_id}/attempts/{attempt_id}/answers", 202, "answers"),
        "correct total passed credits.rule credits.points review.question_id review.right "
        "review.right_options review.explanation",
    ),
    (
        *("get", "/v1/me", 200, ""),
        "streak.days streak.next_tap_at streak.next_bonus_in streak.freezes streak.frozen_days streak.best "
        "tiers.group tiers.level tiers.title tiers.value tiers.next.level tiers.next.missing "
        "tiers.keeps_until tier.group tier.level",
    ),
    ("post", "/v1/streak/freezes", 201, "", "freezes points"),
    ("post", "/v1/visits", 202, "page", "credits.rule credits.points"),
    (
        *("get", "/v1/tasks", 200, ""),
        "items.rule items.title items.points items.activity items.state items.remaining items.resets_at "
        "items.why_not.code items.why_not.text",
    ),
    (
        *("get", "/v1/me/challenges", 200, ""),
        "items.id items.title items.progress items.goal.kind items.steps.at items.steps.points "
        "items.steps.reached_at items.state items.ends_at",
    ),
    ("get", "/v1/shop/members/{member_id}/benefits", 200, "", "benefits tiers.group tiers.level"),
    ("get", "/v1/admin/members/{member_id}/tiers", 200, "", "tiers.group history.cause"),
    ("get", "/v1/me/referral", 200, "", "code url invited pending rewarded flagged"),
    ("post", "/v1/referrals", 202, "code", "state"),
    ("post", "/v1/shop/members", 201, "referral_code", "referral.state referral.code"),
    ("get", "/v1/admin/referrals", 200, "", "items.state items.flags"),
    ("post", "/v1/admin/referrals/{referral_id}/approve", 200, "", "state"),
    ("post", "/v1/admin/referrals/{referral_id}/reject", 200, "", "state"),
    (
        *("post", "/v1/draws/{draw_id}/entries", 202, "post.text post.visibility post.url"),
        "entry_id number",
    ),
    ("get", "/v1/draws", 200, "", "items.id items.title items.state items.entries items.my_number"),
    ("get", "/v1/draws/{draw_id}", 200, "", "id title state entries root round winners my_number"),
    (
        *("get", "/v1/draws/{draw_id}/certificate", 200, ""),
        "draw_id algorithm entries.number entries.hash root published_at round.number round.signature beacon "
        "winners",
    ),
    ("get", "/v1/games", 200, "", "items.id items.title items.prizes.id items.prizes.title"),
    ("get", "/v1/games/{game_id}", 200, "", "id title commitment"),
    ("get", "/v1/games/{game_id}/certificate", 200, "", "commitment seed plays.number"),
    (
        *("post", "/v1/games/{game_id}/plays", 202, ""),
        "play_id prize.id prize.title credits.rule chances_left resets_at",
    ),
    (
        *("get", "/v1/leaderboards/{board_id}", 200, ""),
        "items.rank items.name items.score items.me members closes_at",
    ),
    ("put", "/v1/me/display-name", 200, "name", "name"),
    ("delete", "/v1/me/display-name", 200, "", ""),
    ("post", "/v1/me/f-codes/{code}/pass", 200, "to_member_id", ""),
    ("post", "/v1/rewards/{reward_id}/waiting", 202, "", "position"),
    ("get", "/v1/me/credits", 200, "", "items.why.text"),
    ("get", "/v1/me/credits/{credit_id}", 200, "", "why.text why.trace"),
]

# Method, path, status, code, and the facts that clients read.
ENGAGEMENT_REFUSALS = [
    ("post", "/v1/quizzes/{quiz_id}/attempts", 404, "not_found", ""),
    ("post", "/v1/quizzes/{quiz_id}/attempts", 409, "no_attempts_left", "resets_at"),
    ("post", "/v1/quizzes/{quiz_id}/attempts/{attempt_id}/answers", 409, "already_answered", ""),
    ("post", "/v1/quizzes/{quiz_id}/attempts/{attempt_id}/answers", 410, "attempt_expired", ""),
    ("post", "/v1/quizzes/{quiz_id}/attempts/{attempt_id}/answers", 404, "not_found", ""),
    ("post", "/v1/quizzes/{quiz_id}/attempts/{attempt_id}/answers", 400, "invalid_request", "errors"),
    ("post", "/v1/streak/freezes", 409, "insufficient_points", ""),
    ("post", "/v1/streak/freezes", 409, "freezes_full", ""),
    ("post", "/v1/streak/freezes", 404, "not_offered", ""),
    ("post", "/v1/visits", 409, "limit_reached", "resets_at"),
    ("post", "/v1/visits", 404, "not_offered", ""),
    ("post", "/v1/referrals", 409, "already_referred", ""),
    ("post", "/v1/referrals", 409, "self_referral", ""),
    ("post", "/v1/referrals", 409, "circular_referral", ""),
    ("post", "/v1/referrals", 409, "too_late", ""),
    ("post", "/v1/referrals", 409, "limit_reached", ""),
    ("post", "/v1/referrals", 404, "unknown_code", ""),
    ("post", "/v1/draws/{draw_id}/entries", 404, "not_found", ""),
    ("post", "/v1/draws/{draw_id}/entries", 409, "already_entered", ""),
    ("post", "/v1/draws/{draw_id}/entries", 410, "draw_closed", ""),
    ("post", "/v1/draws/{draw_id}/entries", 422, "entry_rejected", "failed"),
    ("get", "/v1/draws/{draw_id}", 404, "not_found", ""),
    ("post", "/v1/games/{game_id}/plays", 409, "no_chances_left", ""),
    ("post", "/v1/games/{game_id}/plays", 404, "not_found", ""),
    ("get", "/v1/games/{game_id}", 404, "not_found", ""),
    ("get", "/v1/leaderboards/{board_id}", 404, "not_found", ""),
    ("post", "/v1/me/f-codes/{code}/pass", 409, "already_passed", ""),
    ("post", "/v1/me/f-codes/{code}/pass", 409, "used", ""),
    ("post", "/v1/me/f-codes/{code}/pass", 404, "unknown_coupon", ""),
]

# The kinds that operators add while a program runs, with the fields of a definition.
DEFINITIONS = [
    (
        "quizzes",
        "id program title from until attempts.count attempts.window time_limit draw shuffle pass_mark "
        "points_per_right points_full_score due.type due.delay questions.id questions.kind questions.text "
        "questions.options.id questions.options.text questions.right questions.explanation",
    ),
    (
        "challenges",
        "id program title from until repeats goal.kind goal.activity goal.goals.kind goal.goals.activity "
        "goal.goals.of steps.at steps.points steps.reward due",
    ),
    (
        "games",
        "id program title from until chances.count chances.window chances.extra_after prizes.id prizes.title "
        "prizes.odds prizes.stock prizes.per_day prizes.points prizes.reward wins_per_member.count "
        "wins_per_member.window due",
    ),
    (
        "draws",
        "id program title opens_at closes_at round_after winners points one_entry_per conditions.hashtag "
        "conditions.mentions conditions.public due",
    ),
    (
        "leaderboards",
        "id program title score from until resets prizes.to_rank prizes.points min_members due",
    ),
]

# The fields of a program's document, beside the same definitions.
DOCUMENT = (
    "rules.unit rules.on.activity rules.on.page rules.limit.freezes.start rules.limit.freezes.max "
    "rules.limit.freezes.earn_every_days rules.limit.freezes.price_points rules.limit.grace_until "
    "tier_groups.id tier_groups.metric tier_groups.window tier_groups.grace tier_groups.levels.id "
    "tier_groups.levels.title tier_groups.levels.from tier_groups.levels.benefits referral.code_length "
    "referral.account_age_max referral.limit.count referral.limit.window referral.advocate.on "
    "referral.advocate.points referral.advocate.min_spend_minor referral.friend.on referral.friend.points "
    "referral.hold"
)

# Where a field has one of a few values: method, path, status, the field, and the values.
VALUES = [
    ("get", "/v1/tasks", 200, "items.state", "open done blocked"),
    ("get", "/v1/me/challenges", 200, "items.state", "running done missed"),
    ("get", "/v1/draws/{draw_id}", 200, "state", "open frozen drawn void"),
    ("get", "/v1/admin/referrals", 200, "items.state", "pending flagged approved rejected"),
    ("post", "/v1/quizzes/{quiz_id}/attempts", 201, "questions.kind", "one several order"),
]

# The same in a program's document.
DOCUMENT_VALUES = [
    ("quizzes.attempts.window", "ever day week month"),
    ("quizzes.questions.kind", "one several order"),
    ("challenges.repeats", "daily weekly monthly"),
    ("challenges.goal.kind", "count distinct_products spend_minor points_earned all_of"),
    ("games.chances.window", "ever day week month"),
    ("draws.one_entry_per", "member"),
    ("leaderboards.resets", "weekly monthly"),
    ("tier_groups.metric", "spend_minor points_earned status"),
    ("tier_groups.window", "calendar_year rolling_12_months lifetime"),
    ("referral.advocate.on", "registration first_order_delivered"),
    ("referral.friend.on", "registration first_order_delivered"),
    ("rules.unit", "points status"),
]

PARAMETERS = [
    ("get", "/v1/leaderboards/{board_id}", "top around n"),
    ("get", "/v1/admin/referrals", "state"),
    ("get", "/v1/shop/members/{member_id}/benefits", "program"),
]
