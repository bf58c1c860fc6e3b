"""A valid document with orders and spending, and the ways in which `test_parse` breaks it."""

SHOP = """\
id = "tea-shop"
version = "1"
title = "Tea shop"
in_force_from = 2026-01-01
grace = "P30D"
promise = "P16D"

[countries]
ES = { zone = "Europe/Madrid", currency = "EUR" }

[eligibility]

[expiry]
type = "yearly"
month = 1
day = 31
at = 12:00:00
months = 12

[worth]
points = 1
minor = 10

[checkout]
hold_for = "PT30M"
orders = { channels = ["web", "app"], refused_methods = ["credit"] }

[withdrawal]
open = false
methods = ["cash"]
min_points = 50
max_points_a_day = 500
number_cooldown = "PT72H"

[[rewards]]
type = "coupon"
id = "five_euros"
title = "5 euros"
points = 50
value_minor = 500
min_order_minor = 2000
valid_for = "P90D"

[[rewards]]
type = "f_code"
id = "first_flush"
title = "First flush"
points = 10
product_id = "darjeeling"

[[rules]]
id = "purchase"
title = "Buy tea"
on = { activity = "order" }
orders = { channels = ["web"] }
limit = { type = "once_per", field = "order_id" }
award = { type = "per_spend", points = 1, step_minor = 100 }
due = { type = "on_delivery" }

[[rules]]
id = "big"
title = "Buy much tea"
on = { activity = "order" }
limit = { type = "once_per", field = "order_id" }
award = { type = "brackets", brackets = [{ from_minor = 0, points = 1 }, { from_minor = 5000, points = 9 }] }
due = { type = "next_day" }

[[rules]]
id = "review"
title = "Review"
on = { activity = "review" }
limit = { type = "once_per", field = "product_id" }
award = { type = "fixed", points = 20 }
due = { type = "after", delay = "PT5M" }

[[examples]]
title = "Tea is bought and paid with points"
country = "ES"

[[examples.steps]]
at = 2026-03-01T10:00:00
do = { activity = "order", order_id = "o-1", channel = "web", currency = "EUR", lines = [
    { line_id = "1", product_id = "sencha", paid = 9000 },
], payment = { method = "card" } }
earns = [{ rule = "purchase", points = 90, waits_for = "delivery" }, { rule = "big", points = 9 }]

[[examples.steps]]
at = 2026-03-02T10:00:00
do = { activity = "order_delivered", order_id = "o-1" }
balance = { active = 99 }
expiring = [{ points = 99, expires_at = 2028-01-31T12:00:00 }]

[[examples.steps]]
at = 2026-03-03T10:00:00
do = { activity = "redeem", reward_id = "five_euros" }
gives = { value_minor = 500, expires_at = 2026-06-01T11:00:00 }

[[examples.steps]]
at = 2026-03-03T11:00:00
do = { activity = "quote", channel = "web", payment = { method = "card" }, lines = [
    { line_id = "1", product_id = "sencha", paid = 2000 },
] }
quotes = { max_points = 49, discount_minor = 490, reasons = [], coupons = [
    { reward = "five_euros", discount_minor = 500 },
] }

[[examples.steps]]
at = 2026-03-03T12:00:00
do = { activity = "hold", order_id = "o-2", points = 40, coupons = ["five_euros"], channel = "web", lines = [
    { line_id = "1", product_id = "sencha", paid = 2000 },
], payment = { method = "card" } }
pays = { points = 40, discount_minor = 900 }

[[examples.steps]]
at = 2026-03-03T12:01:00
do = { activity = "withdraw", points = 50, method = "cash" }
refused = "not_open_yet"
"""

# Changes of SHOP (old, new), and all problems that follow.
BROKEN_SHOPS: dict[str, tuple[str, str, list[str]]] = {
    "points without worth at checkout": (
        "[worth]\npoints = 1\nminor = 10\n",
        "",
        [
            "worth: expected the worth of points, because there is [checkout], got nothing",
            "worth: expected the worth of points, because there is [withdrawal], got nothing",
        ],
    ),
    "a worth that leaves fractions": (
        "points = 1\nminor = 10",
        "points = 4\nminor = 10",
        [
            "worth: expected a whole number of minor units for a point, or of points for a minor unit, "
            "got 10 minor units for 4 points"
        ],
    ),
    "a hold for ever": (
        '"PT30M"',
        '"P30D"',
        ['checkout.hold_for: expected a duration from PT1M to P7D, got "P30D"'],
    ),
    "a hold of no time": (
        '"PT30M"',
        '"PT0S"',
        ['checkout.hold_for: expected a duration from PT1M to P7D, got "PT0S"'],
    ),
    "no grace at all": (
        'grace = "P30D"',
        'grace = "-P1D"',
        ['grace: expected a duration from PT1M to P366D, got "-P1D"'],
    ),
    "a promise for after a lifetime": (
        '"P16D"',
        '"P9999D"',
        ['promise: expected a duration from PT1M to P366D, got "P9999D"'],
    ),
    "a rule that breaks the promise": (
        '"PT5M"',
        '"PT385H"',
        ['rules[2].due.delay: expected at most the promised P16D, got "PT385H"'],
    ),
    "a day that no year has": (
        "month = 1\n",
        "month = 2\n",
        ["expiry.day: expected a day that month 2 has every year, got 31"],
    ),
    "a time of day with an offset": (
        "at = 12:00:00",
        'at = "12:00:00Z"',
        ['expiry.at: expected a local time, such as 12:00:00, got "12:00:00Z"'],
    ),
    "a channel twice": (
        '["web", "app"]',
        '["web", "app", "web"]',
        ['checkout.orders.channels[2]: expected no duplicates, got "web" again'],
    ),
    "a channel that is none": (
        '["web", "app"]',
        '["web", "agency"]',
        ['checkout.orders.channels[1]: expected one of app, store, web, got "agency"'],
    ),
    "a method of payment twice": (
        '["credit"]',
        '["credit", "credit"]',
        ['checkout.orders.refused_methods[1]: expected no duplicates, got "credit" again'],
    ),
    "no channels": (
        'orders = { channels = ["web"] }',
        "orders = { channels = [] }",
        ["rules[0].orders.channels: expected a list of at least one, got an empty list"],
    ),
    "no way to withdraw": (
        'methods = ["cash"]',
        "methods = []",
        ["withdrawal.methods: expected a list of at least one, got an empty list"],
    ),
    "a way to withdraw twice": (
        'methods = ["cash"]',
        'methods = ["cash", "cash"]',
        ['withdrawal.methods[1]: expected no duplicates, got "cash" again'],
    ),
    "a day's most below the least": (
        "max_points_a_day = 500",
        "max_points_a_day = 49",
        ["withdrawal.max_points_a_day: expected at least min_points (50), got 49"],
    ),
    "a cool-down of years": (
        '"PT72H"',
        '"P367D"',
        ['withdrawal.number_cooldown: expected a duration from PT0S to P366D, got "P367D"'],
    ),
    "open, and opening": (
        "open = false",
        "open = true\nopens_at = 2027-01-01T00:00:00Z",
        [
            "withdrawal.opens_at: expected no value, because withdrawals are open, "
            "got 2027-01-01T00:00:00+00:00"
        ],
    ),
    "opening at a time of nowhere": (
        "open = false",
        "open = false\nopens_at = 2027-01-01T00:00:00",
        [
            "withdrawal.opens_at: expected a time with an offset, such as 2026-09-01T00:00:00Z, "
            "got 2027-01-01T00:00:00"
        ],
    ),
    "a reward's id twice": (
        'id = "first_flush"',
        'id = "five_euros"',
        ['rewards[1].id: expected a unique id, got "five_euros", which rewards[0] has'],
    ),
    "a reward of no kind": (
        'type = "f_code"',
        'type = "gift"',
        ['rewards[1].type: expected coupon or f_code, got "gift"'],
    ),
    "a coupon of nothing": (
        "value_minor = 500",
        "value_minor = 0",
        ["rewards[0].value_minor: expected a whole number from 1 to 1000000000, got 0"],
    ),
    "a coupon that is worth more than its order": (
        "min_order_minor = 2000",
        "min_order_minor = 499",
        ["rewards[0].min_order_minor: expected at least the coupon's value (500), or 0, got 499"],
    ),
    "a coupon that ends before it is read": (
        'valid_for = "P90D"',
        'valid_for = "PT5M"',
        ['rewards[0].valid_for: expected a duration from PT1H to P3660D, got "PT5M"'],
    ),
    "an order once in a life": (
        'limit = { type = "once_per", field = "order_id" }\naward = { type = "per_spend"',
        'limit = { type = "once" }\naward = { type = "per_spend"',
        [
            'rules[0].limit.type: expected once_per, with field = "order_id": each order pays once; '
            'or first_orders, got "once"'
        ],
    ),
    "an order that goes with another rule": (
        'limit = { type = "once_per", field = "order_id" }\naward = { type = "per_spend"',
        'limit = { type = "same_as", rule = "review" }\naward = { type = "per_spend"',
        [
            'rules[0].limit.type: expected once_per, with field = "order_id": each order pays once; '
            "or first_orders, "
            'got "same_as"'
        ],
    ),
    "a review once an order": (
        'field = "product_id"',
        'field = "order_id"',
        ['rules[2].limit.field: expected a field of review, got "order_id"'],
    ),
    "an order once a product": (
        'field = "order_id" }\naward = { type = "per_spend"',
        'field = "product_id" }\naward = { type = "per_spend"',
        ['rules[0].limit.field: expected a field of order, got "product_id"'],
    ),
    "every nth day of orders": (
        'award = { type = "per_spend", points = 1, step_minor = 100 }',
        'award = { type = "every_nth_day", points = 1, days = 7 }',
        ['rules[0].award.type: expected an award for orders: they have no streak, got "every_nth_day"'],
    ),
    "a review by its price": (
        'award = { type = "fixed", points = 20 }',
        'award = { type = "tag_points" }',
        ['rules[2].award.type: expected fixed or every_nth_day: a review has no amount, got "tag_points"'],
    ),
    "a review that is delivered": (
        'due = { type = "after", delay = "PT5M" }',
        'due = { type = "on_delivery" }',
        ['rules[2].due.type: expected after or next_day: a review is not delivered, got "on_delivery"'],
    ),
    "a review of some orders": (
        'on = { activity = "review" }',
        'on = { activity = "review" }\norders = { promotion_lines = false }',
        ["rules[2].orders: expected none: this rule is about review, got a table"],
    ),
    "brackets that do not rise": (
        "{ from_minor = 5000, points = 9 }",
        "{ from_minor = 0, points = 1 }",
        [
            "rules[1].award.brackets[1].from_minor: expected more than the 0 of the bracket before it, got 0",
            "rules[1].award.brackets[1].points: expected more than the 1 of the bracket before it, got 1",
        ],
    ),
    "a rule about orders twice": (
        "[[rules]]\n"
        'id = "big"\n'
        'title = "Buy much tea"\n'
        'on = { activity = "order" }\n'
        'limit = { type = "once_per", field = "order_id" }\n'
        'award = { type = "brackets", brackets = [{ from_minor = 0, points = 1 }, '
        "{ from_minor = 5000, points = 9 }] }\n",
        "[[rules]]\n"
        'id = "big"\n'
        'title = "Buy much tea"\n'
        'on = { activity = "order" }\n'
        'orders = { channels = ["web"] }\n'
        'limit = { type = "once_per", field = "order_id" }\n'
        'award = { type = "per_spend", points = 1, step_minor = 100 }\n',
        [
            'rules[1]: expected an activity or a limit of its own, got those of "purchase": '
            "make it one rule, or this one same_as that"
        ],
    ),
    "an id of the ledger's for orders": (
        'id = "review"',
        'id = "order"',
        ['rules[2].id: expected another id, got "order", which the ledger reserves'],
    ),
    "a delivery that earns": (
        "balance = { active = 99 }",
        'balance = { active = 99 }\nearns = [{ rule = "purchase", points = 90 }]',
        ["examples[0].steps[1].earns: expected no earns: order_delivered has no such result, got one"],
    ),
    "an action that expects nothing": (
        'refused = "not_open_yet"',
        "",
        [
            "examples[0].steps[5]: expected one of earns, refused, quotes, pays, gives, wins, asks, "
            "grades, held, balance, streak, expiring, tiers, got no expectation"
        ],
    ),
    "a reward that is refused and given": (
        "gives = { value_minor = 500",
        'refused = "sold_out"\ngives = { value_minor = 500',
        ["examples[0].steps[2]: expected gives or refused, got both"],
    ),
    "a reward that there is not": (
        'reward_id = "five_euros"',
        'reward_id = "six_euros"',
        [
            "examples[0].steps[2].do.reward_id: expected the id of a reward, "
            'got "six_euros" (did you mean five_euros?)'
        ],
    ),
    "a coupon that there is not": (
        'coupons = ["five_euros"]',
        'coupons = ["nine_lives"]',
        ['examples[0].steps[4].do.coupons[0]: expected the id of a reward, got "nine_lives"'],
    ),
    "an offer of a reward that there is not": (
        '{ reward = "five_euros"',
        '{ reward = "five_euro"',
        [
            "examples[0].steps[3].quotes.coupons[0].reward: expected the id of a reward, "
            'got "five_euro" (did you mean five_euros?)'
        ],
    ),
    "an unknown action": (
        'activity = "redeem"',
        'activity = "reedem"',
        [
            "examples[0].steps[2].do.activity: expected one of fuel_tap, registration, app_sign_in, share, "
            "review, visit, birthday, order, join, wait, order_delivered, order_cancelled, order_returned, "
            "review_published, review_removed, share_confirmed, share_removed, quote, hold, spend, "
            "capture, release, redeem, withdraw, play_game, enter_draw, start_quiz, answer_quiz, "
            "friend_joins, friend_orders, friend_returns, use_friends_code, buy_freeze, "
            'got "reedem" (did you mean redeem?)'
        ],
    ),
    "half of all points": (
        "points = 40, coupons",
        'points = "half", coupons',
        ['examples[0].steps[4].do.points: expected a whole number from 0 to 1000000000 or max, got "half"'],
    ),
    "a credit that waits and is due": (
        'waits_for = "delivery"',
        'waits_for = "delivery", due_at = 2026-03-02T10:00:00',
        [
            "examples[0].steps[0].earns[0].due_at: expected no due_at beside waits_for, "
            "got 2026-03-02T10:00:00"
        ],
    ),
    "an end that the clocks skip": (
        "expires_at = 2028-01-31T12:00:00",
        "expires_at = 2028-03-26T02:30:00",
        [
            "examples[0].steps[1].expiring[0].expires_at: expected a local time of Europe/Madrid, "
            "got 2028-03-26T02:30:00, which its clocks skip"
        ],
    ),
    "a coupon's end out of range": (
        "expires_at = 2026-06-01T11:00:00",
        "expires_at = 1926-06-01T11:00:00",
        ["examples[0].steps[2].gives.expires_at: expected a year from 2000 to 2100, got 1926-06-01T11:00:00"],
    ),
    "an activity that earns nothing": (
        'do = { activity = "withdraw", points = 50, method = "cash" }\nrefused = "not_open_yet"',
        'do = { activity = "review", product_id = "sencha", review_id = "r-1" }\nearns = []',
        ["examples[0].steps[5].earns: expected at least one credit, or a refusal, got an empty list"],
    ),
    "two lines of one id": (
        '{ line_id = "1", product_id = "sencha", paid = 9000 },',
        '{ line_id = "1", product_id = "sencha", paid = 9000 },\n'
        '    { line_id = "1", product_id = "sencha", paid = 50 },',
        [
            "examples[0].steps[0].do.lines[1].line_id: expected a unique line_id, "
            'got "1", which examples[0].steps[0].do.lines[0] has'
        ],
    ),
    "euros and francs that have no cents": (
        'ES = { zone = "Europe/Madrid", currency = "EUR" }',
        'ES = { zone = "Europe/Madrid", currency = "EUR" }\n'
        'BF = { zone = "Africa/Ouagadougou", currency = "XOF" }',
        [
            "countries.BF.currency: expected a currency with 2 decimals, like EUR: "
            "amounts are in minor units, got XOF with 0"
        ],
    ),
}
