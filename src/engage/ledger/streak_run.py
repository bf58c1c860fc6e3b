"""The run of days up to the newest day of a streak: a fold over its days, in whatever order they came.

The credit of a day says how many days in a row there were when it was accepted. A day that came late, such as
one of another process around midnight, joins the run before it with the run after it. So the run goes on
through the day before the first of those that a credit counts, as long as that day has a credit.
"""

# The keys of a rule lie between "rule:" and "rule;", the character after the colon, and those of a streak in
# the order of its days. Which day it is, the credit itself says.
_DAY = """CAST(c.why -> 'inputs' ->> 'day' AS date) AS day,
        CAST(c.why -> 'inputs' ->> 'streak_days' AS int) AS days, c.why -> 'inputs' ->> 'zone' AS zone"""


def streak_run(member: str, rule: str, at: str) -> str:
    """A query for the run of a member as of an instant. These three are SQL expressions, the first one an
    alias of a row with `program_id` and `member_id`.

    Its columns: `day`, `days` and `zone` as in `Streak`, null without a run; `late`, how many of the days
    were counted without those before them; `later`, whether there are days after the instant.
    """
    of_rule = f"c.program_id = {member}.program_id AND c.member_id = {member}.member_id"
    return f"""
    WITH RECURSIVE run AS (
        (
            SELECT {_DAY} FROM credits c
            WHERE {of_rule} AND c.source_key >= {rule} || ':' AND c.source_key < {rule} || ';'
              AND CAST(c.why -> 'inputs' ->> 'day' AS date)
                  <= CAST({at} AT TIME ZONE (c.why -> 'inputs' ->> 'zone') AS date)
            ORDER BY c.source_key DESC LIMIT 1
        )
        UNION ALL
        SELECT before.* FROM run CROSS JOIN LATERAL (
            SELECT {_DAY} FROM credits c
            WHERE {of_rule} AND c.source_key = {rule} || ':' || (run.day - run.days)
              AND c.why -> 'inputs' ->> 'zone' = run.zone
        ) before
    )
    SELECT max(day) AS day, CAST(sum(days) AS int) AS days, min(zone) AS zone,
           CAST(sum(days) - min(days) FILTER (WHERE first) AS int) AS late,
           EXISTS (
               SELECT FROM credits c
               WHERE {of_rule} AND c.source_key > {rule} || ':' || coalesce(CAST(max(day) AS text), '')
                 AND c.source_key < {rule} || ';' AND c.beside IS NULL
           ) AS later
    FROM (SELECT *, day = min(day) OVER () AS first FROM run) counted
    """  # noqa: S608  # Made of constants.
