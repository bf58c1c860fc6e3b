"""The rules in force, as the app shows them."""

from tests.api.calling import Calling, problem

PATH = "/v1/program"


async def test_a_member_reads_the_rules_in_force(api: Calling) -> None:
    member = await api.joined(country="GB")
    found = (await member.get(PATH)).json()
    assert (found["id"], found["version"], found["country"]) == ("eu-mi-points", "2025", "GB")
    assert found["currency"] == "GBP"
    rules = {rule["id"]: rule for rule in found["rules"]}
    fuel = rules["fuel"]
    assert (fuel["activity"], fuel["points"], fuel["award"]["text"]) == ("fuel_tap", 10, "10 points")
    assert fuel["limits"][0]["type"] == "daily_streak"
    assert fuel["due"] == {"type": "after", "facts": {"delay": "PT5M"}, "text": "after 5 minutes"}
    purchase = next(rule for rule in found["rules"] if rule["activity"] == "order")
    assert purchase["points"] is None
    assert purchase["award"]["text"] == "1 point for each £1.00 of an order"
    assert (rules["fuel_streak"]["points"], rules["fuel_streak"]["award"]["facts"]["days"]) == (100, 7)
    link = rules["share_link"]
    assert (link["activity"], link["kind"]) == ("share", "link")
    assert link["limits"][0] == {
        "type": "per_window",
        "facts": {"count": 3, "window": "month"},
        "text": "3 times a month",
    }
    assert found["expiry"]["text"] == "Points expire 12 months after they became active."
    assert found["checkout"] == {"min_balance": 1, "max_percent": 5, "shipping": False}
    assert (found["withdrawal"], found["referral"]) == (None, None)


async def test_the_rules_are_in_the_callers_language_and_change_with_it(api: Calling) -> None:
    member = await api.joined()
    english, german = await member.get(PATH), await member.get(PATH, accept_language="de")
    assert german.headers["content-language"] == "de"
    assert german.headers["vary"] == "accept-language"
    assert german.json()["expiry"]["text"] == "Punkte verfallen 12 Monate nach ihrer Aktivierung."
    assert german.headers["etag"] != english.headers["etag"]
    again = await member.get(PATH, accept_language="de", if_none_match=german.headers["etag"])
    assert (again.status_code, again.content) == (304, b"")
    assert (await member.get(PATH, if_none_match=german.headers["etag"])).status_code == 200


async def test_a_token_of_no_member_reads_no_rules(api: Calling) -> None:
    problem(await api.member_of("eu-mi-points", "nobody").get(PATH), 401, "unauthorized")
    problem(await api.nobody.get(PATH), 401, "unauthorized")
