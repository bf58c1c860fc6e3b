"""A valid document, and the ways in which `test_parse` breaks it."""

SOUND = """\
id = "tea-club"
version = "1"
title = "Tea club"
in_force_from = 2026-01-01

[countries]
ES = { zone = "Europe/Madrid", currency = "EUR" }
GB = { zone = "Europe/London", currency = "GBP" }

[eligibility]
min_age = 18

[expiry]
type = "rolling"
months = 12

[[rules]]
id = "fuel"
title = "Fuel"
on = { activity = "fuel_tap" }
limit = { type = "daily_streak" }
award = { type = "fixed", points = 2 }
due = { type = "after", delay = "PT5M" }

[[rules]]
id = "bonus"
title = "Bonus"
on = { activity = "fuel_tap" }
limit = { type = "same_as", rule = "fuel" }
award = { type = "every_nth_day", points = 50, days = 7 }
due = { type = "after", delay = "PT5M" }

[[rules]]
id = "share"
title = "Share"
on = { activity = "share", kind = "social" }
limit = { type = "per_window", count = 3, window = "month" }
award = { type = "fixed", points = 5 }
due = { type = "after", delay = "PT5M" }

[[rules]]
id = "review"
title = "Review"
on = { activity = "review" }
limit = { type = "once_per", field = "product_id" }
award = { type = "fixed", points = 20 }
due = { type = "after", delay = "PT5M" }

[[examples]]
title = "A week"
country = "ES"

[[examples.steps]]
at = 2026-02-01T10:00:00
days = 6
do = { activity = "fuel_tap" }
earns = [{ rule = "fuel", points = 2 }]

[[examples.steps]]
at = 2026-02-07T10:00:00
do = { activity = "fuel_tap" }
earns = [{ rule = "fuel", points = 2 }, { rule = "bonus", points = 50, due_at = 2026-02-07T10:05:00 }]
"""

JOINING = """
[[rules]]
id = "joining"
title = "Joining"
on = { activity = "registration" }
limit = { type = "once" }
award = { type = "fixed", points = 50 }
due = { type = "after", delay = "PT0S" }
"""

# Changes of SOUND (old, new), and all problems that follow.
BROKEN: dict[str, tuple[str, str, list[str]]] = {
    "not TOML": (
        'id = "tea-club"',
        'id = "tea-club',
        ["line 1, column 15: expected TOML, got illegal character '\\n'"],
    ),
    "a key twice": (
        'version = "1"',
        'version = "1"\nversion = "2"',
        ["line 3, column 14: expected TOML, got cannot overwrite a value"],
    ),
    "a date that is none": (
        "2026-01-01\n",
        "2026-02-30\n",
        ["line 4, column 17: expected TOML, got invalid date or datetime"],
    ),
    "a missing field": (
        'title = "Tea club"\n',
        "",
        ["title: expected one line of text, at most 200 long, got nothing"],
    ),
    "a misspelt field": (
        "points = 20",
        "poinst = 20",
        [
            "rules[3].award.poinst: expected type or points, got an unknown field (did you mean points?)",
            "rules[3].award.points: expected a whole number from 1 to 1000000, got nothing",
        ],
    ),
    "text for a number": (
        "points = 20",
        'points = "20"',
        ['rules[3].award.points: expected a whole number from 1 to 1000000, got "20"'],
    ),
    "too many points": (
        "points = 20",
        "points = 1000001",
        ["rules[3].award.points: expected a whole number from 1 to 1000000, got 1000001"],
    ),
    "a fraction of a point": (
        "points = 20",
        "points = 2.5",
        ["rules[3].award.points: expected a whole number from 1 to 1000000, got 2.5"],
    ),
    "a confirmation of what no event confirms": (
        'award = { type = "fixed", points = 2 }\ndue = { type = "after", delay = "PT5M" }',
        'award = { type = "fixed", points = 2 }\ndue = { type = "on_confirmation", within = "P7D" }',
        [
            "rules[0].due.type: expected after or next_day: no event confirms a fuel_tap, "
            'got "on_confirmation"'
        ],
    ),
    "a confirmation with no time for it": (
        'award = { type = "fixed", points = 20 }\ndue = { type = "after", delay = "PT5M" }',
        'award = { type = "fixed", points = 20 }\n'
        'due = { type = "on_confirmation", within = "PT0S", delay = "P367D" }',
        [
            'rules[3].due.within: expected a duration from PT1M to P366D, got "PT0S"',
            'rules[3].due.delay: expected a duration from PT0S to P366D, got "P367D"',
        ],
    ),
    "a further limit of a rule that pays once for each tap": (
        'award = { type = "every_nth_day", points = 50, days = 7 }\n',
        'award = { type = "every_nth_day", points = 50, days = 7 }\n'
        'also = [{ type = "per_window", count = 2, window = "month" }]\n',
        [
            'rules[1].also: expected nothing: the rule pays whenever "fuel" does: limit that one, '
            "got 1 further limits"
        ],
    ),
    "two limits of one window": (
        'limit = { type = "per_window", count = 3, window = "month" }\n',
        'limit = { type = "per_window", count = 3, window = "month" }\n'
        'also = [{ type = "per_window", count = 2, window = "day" }, '
        '{ type = "per_window", count = 9, window = "month" }]\n',
        [
            "rules[2].also[1].window: expected another window than those of the rule's other limits, "
            'got "month"'
        ],
    ),
    "a further limit that is no number in a window": (
        'limit = { type = "once_per", field = "product_id" }\n',
        'limit = { type = "once_per", field = "product_id" }\nalso = [{ type = "once" }]\n',
        ['rules[3].also[0].type: expected per_window, got "once"'],
    ),
    "an unknown kind of limit": (
        '"daily_streak"',
        '"daily_streek"',
        [
            "rules[0].limit.type: expected one of once, once_per, per_window, daily_streak, same_as, "
            'first_orders, got "daily_streek" (did you mean daily_streak?)'
        ],
    ),
    "a due time without its kind": (
        'points = 20 }\ndue = { type = "after", delay = "PT5M" }',
        'points = 20 }\ndue = { delay = "PT5M" }',
        ["rules[3].due.type: expected one of after, on_delivery, on_confirmation, next_day, got nothing"],
    ),
    "a window that is none": (
        'window = "month"',
        'window = "week"',
        ['rules[2].limit.window: expected day or month, got "week"'],
    ),
    "more places than a window has": (
        "count = 3",
        "count = 33",
        ["rules[2].limit.count: expected a whole number from 1 to 32, got 33"],
    ),
    "an unknown activity": (
        '"fuel_tap" }\nlimit = { type = "daily_streak" }',
        '"fuel" }\nlimit = { type = "daily_streak" }',
        [
            "rules[0].on.activity: expected one of app_sign_in, birthday, fuel_tap, order, registration, "
            'review, share, visit, got "fuel"'
        ],
    ),
    "the first orders of what is no order": (
        'limit = { type = "once_per", field = "product_id" }',
        'limit = { type = "first_orders", count = 5 }',
        ['rules[3].limit.type: expected another limit: no review is delivered, got "first_orders"'],
    ),
    "a page of what is no visit": (
        'on = { activity = "review" }',
        'on = { activity = "review", page = "offers" }',
        ['rules[3].on.page: expected no page: a review has none, got "offers"'],
    ),
    "a delay in other words": (
        'points = 20 }\ndue = { type = "after", delay = "PT5M" }',
        'points = 20 }\ndue = { type = "after", delay = "5 minutes" }',
        ['rules[3].due.delay: expected a duration (ISO 8601), such as PT5M, PT24H or P1D, got "5 minutes"'],
    ),
    "a country in small letters": (
        "GB = ",
        "gb = ",
        ['countries.gb: expected a country\'s two letters (ISO 3166-1), such as ES, got "gb"'],
    ),
    "a date with a time": (
        "2026-01-01\n",
        "2026-01-01T00:00:00\n",
        [
            "in_force_from: expected a date, such as 2022-09-01: from its start in each member's zone, "
            "got 2026-01-01T00:00:00"
        ],
    ),
    "rules as a table": (
        SOUND[SOUND.index("[[rules]]") :],
        "[rules]\n",
        ["rules: expected a list of 1 to 200, got a table without fields"],
    ),
    "an unknown refusal": (
        'earns = [{ rule = "fuel", points = 2 }]\n\n',
        'refused = "too_lazy"\n\n',
        ['examples[0].steps[0].refused: expected the code of a refusal, such as sold_out, got "too_lazy"'],
    ),
    "a refusal that no step can end in": (
        'earns = [{ rule = "fuel", points = 2 }]\n\n',
        'refused = "clock_backwards"\n\n',
        ['examples[0].steps[0].refused: expected a refusal of some step, got "clock_backwards"'],
    ),
    "an activity without its fields": (
        '{ activity = "fuel_tap" }\nearns = [{ rule = "fuel", points = 2 }]',
        '{ activity = "share", kind = "link" }\nearns = [{ rule = "share", points = 5 }]',
        ["examples[0].steps[0].do.product_id: expected 1 to 128 characters on one line, got nothing"],
    ),
    "a name with a newline": (
        'id = "tea-club"',
        'id = "tea-club\\n"',
        [
            "id: expected a name of small letters, digits and -, at most 32, beginning with a letter, "
            'got "tea-club\\n"'
        ],
    ),
    "an unknown zone": (
        "Europe/Madrid",
        "Europe/Madird",
        [
            "countries.ES.zone: expected an IANA time zone, such as Europe/Madrid, "
            'got "Europe/Madird" (did you mean Europe/Madrid?)'
        ],
    ),
    "a folder of zones": (
        "Europe/London",
        "Europe",
        ['countries.GB.zone: expected an IANA time zone, such as Europe/Madrid, got "Europe"'],
    ),
    "a country that is none": (
        "GB = ",
        "UK = ",
        ['countries.UK: expected a country of ISO 3166-1, got "UK" (did you mean GB?)'],
    ),
    "a currency that is none": (
        '"GBP"',
        '"GPB"',
        ['countries.GB.currency: expected a currency of ISO 4217, such as EUR, got "GPB"'],
    ),
    "zones that the gate cannot tell apart": (
        'ES = { zone = "Europe/Madrid", currency = "EUR" }',
        'ES = { zone = "Europe/Madrid", currency = "EUR" }\n'
        'LY = { zone = "Africa/Tripoli", currency = "LYD" }\n'
        'SA = { zone = "Asia/Riyadh", currency = "SAR" }',
        [
            "countries.SA.zone: expected a zone with a unique short code, "
            'got "Asia/Riyadh", which has the short code of "Africa/Tripoli"'
        ],
    ),
    "ids that the gate cannot tell apart": (
        'id = "review"',
        'id = "fuel_137240"',
        [
            "rules[3].id: expected an id with a unique short code, "
            'got "fuel_137240", which has the short code of "fuel"'
        ],
    ),
    "an id twice": (
        'id = "review"',
        'id = "share"',
        ['rules[3].id: expected a unique id, got "share", which rules[2] has'],
    ),
    "an id of the ledger's": (
        'id = "review"',
        'id = "removed"',
        ['rules[3].id: expected another id, got "removed", which the ledger reserves'],
    ),
    "a date out of range": (
        "2026-01-01\n",
        "1026-01-01\n",
        ["in_force_from: expected a date from 2000-01-01 to 2099-12-31, got 1026-01-01"],
    ),
    "nobody may join": (
        "min_age = 18",
        "kinds = []",
        ["eligibility.kinds: expected person or company, or both, got an empty list: nobody could join"],
    ),
    "same_as an unknown rule": (
        'rule = "fuel" }\naward',
        'rule = "feul" }\naward',
        ['rules[1].limit.rule: expected the id of another rule, got "feul" (did you mean fuel?)'],
    ),
    "same_as itself": (
        'rule = "fuel" }\naward',
        'rule = "bonus" }\naward',
        ['rules[1].limit.rule: expected the id of another rule, got "bonus"'],
    ),
    "same_as a rule about something else": (
        'rule = "fuel" }\naward = { type = "every_nth_day", points = 50, days = 7 }',
        'rule = "share" }\naward = { type = "fixed", points = 50 }',
        [
            "rules[1].limit.rule: expected a rule about fuel_tap, "
            'got "share", which is about share of kind social',
        ],
    ),
    "same_as a same_as": (
        'limit = { type = "once_per", field = "product_id" }',
        'limit = { type = "same_as", rule = "bonus" }',
        [
            "rules[3].limit.rule: expected a rule with a limit of its own, "
            'got "bonus", which is itself same_as "fuel"',
            'rules[3].limit.rule: expected a rule about review, got "bonus", which is about fuel_tap',
        ],
    ),
    "a wider activity than that of the rule it goes with": (
        'on = { activity = "review" }\nlimit = { type = "once_per", field = "product_id" }',
        'on = { activity = "share" }\nlimit = { type = "same_as", rule = "share" }',
        [
            "rules[3].limit.rule: expected a rule about share, "
            'got "share", which is about share of kind social'
        ],
    ),
    "every nth day without a streak": (
        'limit = { type = "once_per", field = "product_id" }\naward = { type = "fixed", points = 20 }',
        'limit = { type = "once" }\naward = { type = "every_nth_day", points = 20, days = 7 }',
        [
            "rules[3].award.type: expected fixed, or a limit that is same_as a daily_streak rule, "
            'got "every_nth_day" with no streak behind it'
        ],
    ),
    "a streak that does not pay each day": (
        'award = { type = "fixed", points = 2 }',
        'award = { type = "every_nth_day", points = 2, days = 7 }',
        [
            "rules[0].award.type: expected fixed: each day pays; a bonus is a rule of its own, "
            'same_as this one, got "every_nth_day"'
        ],
    ),
    "a kind of something that has none": (
        'on = { activity = "review" }',
        'on = { activity = "review", kind = "link" }',
        ['rules[3].on.kind: expected no kind: a review has none, got "link"'],
    ),
    "two streaks of one activity": (
        'on = { activity = "review" }\nlimit = { type = "once_per", field = "product_id" }',
        'on = { activity = "fuel_tap" }\nlimit = { type = "daily_streak" }',
        ['rules[3].limit.type: expected one daily_streak for an activity, got a second one besides "fuel"'],
    ),
    "once per a field that there is not": (
        'on = { activity = "review" }',
        'on = { activity = "app_sign_in" }',
        ['rules[3].limit.field: expected a field of app_sign_in, got "product_id"'],
    ),
    "a negative delay": (
        'points = 20 }\ndue = { type = "after", delay = "PT5M" }',
        'points = 20 }\ndue = { type = "after", delay = "-PT5M" }',
        ['rules[3].due.delay: expected a duration from PT0S to P366D, got "-PT300S"'],
    ),
    "a delay of more than a year": (
        'points = 20 }\ndue = { type = "after", delay = "PT5M" }',
        'points = 20 }\ndue = { type = "after", delay = "P367D" }',
        ['rules[3].due.delay: expected a duration from PT0S to P366D, got "P367D"'],
    ),
    "joining every month": (
        "[[examples]]",
        JOINING.replace('"once"', '"per_window", count = 1, window = "month"') + "\n[[examples]]",
        ["rules[4].limit.type: expected once or same_as, got per_window: a member registers once"],
    ),
    "two rules that always pay together": (
        "[[examples]]",
        JOINING + JOINING.replace('id = "joining"', 'id = "gift"') + "\n[[examples]]",
        [
            'rules[5]: expected an activity or a limit of its own, got those of "joining": '
            "make it one rule, or this one same_as that"
        ],
    ),
    "an example of another country": (
        'country = "ES"',
        'country = "FR"',
        ['examples[0].country: expected ES or GB, got "FR"'],
    ),
    "an example before its time": (
        "at = 2026-02-01T10:00:00",
        "at = 2025-12-31T23:59:59",
        [
            "examples[0].steps[0].at: expected a time from 2026-01-01 on, when the version comes into force, "
            "got 2025-12-31T23:59:59"
        ],
    ),
    "steps out of order": (
        "at = 2026-02-07T10:00:00",
        "at = 2026-02-06T09:59:59",
        [
            "examples[0].steps[1].at: expected a time not before that of the previous step "
            "(2026-02-06T09:00:00Z), got 2026-02-06T09:59:59"
        ],
    ),
    "a time that the clocks skip": (
        "at = 2026-02-07T10:00:00",
        "at = 2026-03-29T02:30:00",
        [
            "examples[0].steps[1].at: expected a local time of Europe/Madrid, "
            "got 2026-03-29T02:30:00, which its clocks skip"
        ],
    ),
    "a time out of range": (
        "due_at = 2026-02-07T10:05:00",
        "due_at = 0001-01-01T00:00:00+14:00",
        [
            "examples[0].steps[1].earns[1].due_at: expected a year from 2000 to 2100, "
            "got 0001-01-01T00:00:00+14:00"
        ],
    ),
    "a step that expects nothing": (
        'earns = [{ rule = "fuel", points = 2 }]\n\n',
        "\n",
        ["examples[0].steps[0]: expected earns or refused, got neither"],
    ),
    "a step that expects both": (
        'earns = [{ rule = "fuel", points = 2 }]\n\n',
        'earns = [{ rule = "fuel", points = 2 }]\nrefused = "already_tapped"\n\n',
        ["examples[0].steps[0]: expected earns or refused, got both"],
    ),
    "an unknown rule in an example": (
        'earns = [{ rule = "fuel", points = 2 }]\n\n',
        'earns = [{ rule = "fule", points = 2 }]\n\n',
        ['examples[0].steps[0].earns[0].rule: expected the id of a rule, got "fule" (did you mean fuel?)'],
    ),
    "a rule twice in an example": (
        '{ rule = "bonus", points = 50, due_at = 2026-02-07T10:05:00 }',
        '{ rule = "fuel", points = 2 }',
        ['examples[0].steps[1].earns[1].rule: expected each rule once, got "fuel" again'],
    ),
    "one key for many days": (
        'earns = [{ rule = "fuel", points = 2 }]\n\n',
        'earns = [{ rule = "fuel", points = 2, source_key = "fuel:2026-02-01" }]\n\n',
        [
            "examples[0].steps[0].earns[0].source_key: expected no source_key: it differs from day to day, "
            "got one for 6 days"
        ],
    ),
    "an example's title twice": (
        "[[examples]]",
        '[[examples]]\ntitle = "A week"\ncountry = "GB"\n[[examples.steps]]\nat = 2026-02-01T00:00:00Z\n'
        'do = { activity = "registration" }\nrefused = "not_offered"\n\n[[examples]]',
        ['examples[1].title: expected a unique title, got "A week", which examples[0] has'],
    ),
    "many things at once": (
        SOUND[SOUND.index("[countries]") : SOUND.index("[expiry]")],
        '[countries]\nES = { zone = 1 }\nFR = { zone = "Europe/Paris", currency = "Euro" }\n\n'
        '[eligibility]\nmin_age = -1\nkinds = ["dog"]\n',
        [
            "countries.ES.zone: expected an IANA time zone, such as Europe/Madrid, got 1",
            "countries.ES.currency: expected a currency's three letters (ISO 4217), such as EUR, got nothing",
            'countries.FR.currency: expected a currency\'s three letters (ISO 4217), such as EUR, got "Euro"',
            "eligibility.min_age: expected a whole number from 0 to 120, got -1",
            'eligibility.kinds[0]: expected company or person, got "dog"',
        ],
    ),
}
