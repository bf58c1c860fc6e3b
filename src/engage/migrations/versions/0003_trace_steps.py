"""Traces of credits as steps with a code and facts, where they were sentences."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# Every sentence that an earlier release wrote. A line that is a step already stays as it is, so that the
# migration can run again. A reason of an operator can read like anything, so it is known by its credit.
STEPS = r"""
CREATE FUNCTION pg_temp.steps_of(line jsonb, why jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    sentence text := line #>> '{}';
    amount CONSTANT text := '^(\d+) for (\d+) lines(?: and (\d+) for shipping)?'
        '(?:, less (\d+) paid with points or coupons)?: ';
    m text[];
    facts jsonb;
    more jsonb := '[]';
BEGIN
    IF jsonb_typeof(line) <> 'string' THEN
        RETURN jsonb_build_array(line);
    ELSIF why ->> 'rule' = 'adjustment' AND why #> '{inputs,points}' IS NOT NULL THEN
        RETURN pg_temp.step('adjusted', jsonb_build_object('reason', sentence));
    ELSIF sentence = 'erased' THEN
        RETURN pg_temp.step('erased', '{}');
    ELSIF sentence = 'removed before it came' THEN
        RETURN pg_temp.step('removed_before', '{}');
    END IF;
    m := regexp_match(sentence, '^an opening balance, brought by the import (.*)$');
    IF m IS NOT NULL THEN
        RETURN pg_temp.step('opening', jsonb_build_object('import', m[1]));
    END IF;
    m := regexp_match(sentence, '^([a-z][a-z0-9_]*): (.*)$');
    IF m IS NULL THEN
        RETURN pg_temp.step('text', jsonb_build_object('text', sentence));
    END IF;
    facts := jsonb_build_object('rule', m[1]);
    sentence := m[2];
    m := regexp_match(sentence, '^(?:(.*); )?(\d+) lines in a promotion left out$');
    IF m IS NOT NULL THEN
        more := pg_temp.step('promotion_lines_left_out',
                             facts || jsonb_build_object('lines', CAST(m[2] AS bigint)));
        IF m[1] IS NULL THEN
            RETURN more;
        END IF;
        sentence := m[1];
    END IF;
    CASE sentence
        WHEN 'no place left' THEN RETURN pg_temp.step('no_slot', facts);
        WHEN 'all lines are in a promotion' THEN RETURN pg_temp.step('only_promotion_lines', facts);
        ELSE
    END CASE;
    m := regexp_match(sentence, '^day (\d+) in a row pays (\d+)$');
    IF m IS NOT NULL THEN
        RETURN pg_temp.step('streak_day', facts || jsonb_build_object(
            'streak_days', CAST(m[1] AS bigint), 'points', CAST(m[2] AS bigint)));
    END IF;
    m := regexp_match(sentence, '^day (\d+) in a row, every (\d+) days pay (\d+)$');
    IF m IS NOT NULL THEN
        RETURN pg_temp.step('streak_bonus', facts || jsonb_build_object(
            'streak_days', CAST(m[1] AS bigint), 'every_days', CAST(m[2] AS bigint),
            'points', CAST(m[3] AS bigint)));
    END IF;
    m := regexp_match(sentence, '^day (\d+) in a row, the next bonus is on day (\d+)$');
    IF m IS NOT NULL THEN
        RETURN pg_temp.step('streak_bonus_ahead', facts || jsonb_build_object(
            'streak_days', CAST(m[1] AS bigint), 'bonus_day', CAST(m[2] AS bigint)));
    END IF;
    m := regexp_match(sentence, '^(\d+) of (\d+) in (\d{4}-\d{2}(?:-\d{2})?) pays (\d+)$');
    IF m IS NOT NULL THEN
        RETURN pg_temp.step('window_slot', facts || jsonb_build_object(
            'slot', CAST(m[1] AS bigint), 'of', CAST(m[2] AS bigint), 'window', m[3],
            'points', CAST(m[4] AS bigint)));
    END IF;
    m := regexp_match(sentence, '^once pays (\d+)$');
    IF m IS NOT NULL THEN
        RETURN pg_temp.step('once', facts || jsonb_build_object('points', CAST(m[1] AS bigint)));
    END IF;
    m := regexp_match(sentence, '^once for (.*) pays (\d+)$');
    IF m IS NOT NULL THEN
        RETURN pg_temp.step('once_per', facts || jsonb_build_object(
            'key', m[1], 'points', CAST(m[2] AS bigint)));
    END IF;
    m := regexp_match(sentence, '^each order pays (\d+)$');
    IF m IS NOT NULL THEN
        facts := facts || jsonb_build_object('points', CAST(m[1] AS bigint));
        RETURN pg_temp.step('each_order', facts) || more;
    END IF;
    m := regexp_match(sentence, '^(\d+) on the price tags$');
    IF m IS NOT NULL THEN
        facts := facts || jsonb_build_object('points', CAST(m[1] AS bigint));
        RETURN pg_temp.step('tag_points', facts) || more;
    END IF;
    m := regexp_match(sentence, '^nothing by channel (\S+) unless it is paid at pick-up$');
    IF m IS NOT NULL THEN
        RETURN pg_temp.step('not_paid_at_pickup', facts || jsonb_build_object('channel', m[1]));
    END IF;
    m := regexp_match(sentence, '^nothing by channel (\S+)$');
    IF m IS NOT NULL THEN
        RETURN pg_temp.step('channel_excluded', facts || jsonb_build_object('channel', m[1]));
    END IF;
    m := regexp_match(sentence, '^nothing paid by (\S+)$');
    IF m IS NOT NULL THEN
        RETURN pg_temp.step('payment_method_excluded', facts || jsonb_build_object('method', m[1]));
    END IF;
    m := regexp_match(sentence, amount);
    IF m IS NOT NULL THEN
        facts := facts || jsonb_build_object(
            'paid_minor', CAST(m[1] AS bigint), 'lines', CAST(m[2] AS bigint),
            'shipping_minor', CAST(coalesce(m[3], '0') AS bigint),
            'discount_minor', CAST(coalesce(m[4], '0') AS bigint));
        sentence := regexp_replace(sentence, amount, '');
        IF sentence = 'below all brackets' THEN
            RETURN pg_temp.step('lost_bracket', facts) || more;
        END IF;
        m := regexp_match(sentence, '^(\d+), from (\d+)$');
        IF m IS NOT NULL THEN
            RETURN pg_temp.step('bracket', facts || jsonb_build_object(
                'points', CAST(m[1] AS bigint), 'from_minor', CAST(m[2] AS bigint))) || more;
        END IF;
        m := regexp_match(sentence, '^(\d+), (\d+) for each (\d+)$');
        IF m IS NOT NULL THEN
            RETURN pg_temp.step('spend_steps', facts || jsonb_build_object(
                'points', CAST(m[1] AS bigint), 'step_points', CAST(m[2] AS bigint),
                'step_minor', CAST(m[3] AS bigint))) || more;
        END IF;
    END IF;
    RETURN pg_temp.step('text', jsonb_build_object('text', line #>> '{}'));
END $$
"""

STEP = """
CREATE FUNCTION pg_temp.step(code text, facts jsonb) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_array(jsonb_build_array(code, facts))
$$
"""

UPGRADE = """
UPDATE credits c SET why = jsonb_set(c.why, '{trace}', (
    SELECT jsonb_agg(s.step ORDER BY t.number, s.number)
    FROM jsonb_array_elements(c.why -> 'trace') WITH ORDINALITY t (line, number)
    CROSS JOIN jsonb_array_elements(pg_temp.steps_of(t.line, c.why)) WITH ORDINALITY s (step, number)
))
WHERE jsonb_path_exists(c.why, 'strict $.trace[*] ? (@.type() == "string")', silent => true)
"""

# The sentences of the release before. Lines left out have a sentence of their own here, which a later upgrade
# reads too.
SENTENCE = r"""
CREATE FUNCTION pg_temp.sentence_of(line jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    f CONSTANT jsonb := line -> 1;
    amount CONSTANT text := concat(
        f ->> 'paid_minor', ' for ', f ->> 'lines', ' lines',
        CASE WHEN f ->> 'shipping_minor' <> '0'
            THEN concat(' and ', f ->> 'shipping_minor', ' for shipping') END,
        CASE WHEN f ->> 'discount_minor' <> '0'
            THEN concat(', less ', f ->> 'discount_minor', ' paid with points or coupons') END);
    sentence text;
BEGIN
    IF jsonb_typeof(line) = 'string' THEN
        RETURN line;
    END IF;
    sentence := CASE line ->> 0
        WHEN 'adjusted' THEN f ->> 'reason'
        WHEN 'text' THEN f ->> 'text'
        WHEN 'erased' THEN 'erased'
        WHEN 'removed_before' THEN 'removed before it came'
        WHEN 'opening' THEN concat('an opening balance, brought by the import ', f ->> 'import')
        WHEN 'no_slot' THEN 'no place left'
        WHEN 'only_promotion_lines' THEN 'all lines are in a promotion'
        WHEN 'promotion_lines_left_out' THEN concat(f ->> 'lines', ' lines in a promotion left out')
        WHEN 'streak_day' THEN concat('day ', f ->> 'streak_days', ' in a row pays ', f ->> 'points')
        WHEN 'streak_bonus' THEN concat(
            'day ', f ->> 'streak_days', ' in a row, every ', f ->> 'every_days', ' days pay ',
            f ->> 'points')
        WHEN 'streak_bonus_ahead' THEN concat(
            'day ', f ->> 'streak_days', ' in a row, the next bonus is on day ', f ->> 'bonus_day')
        WHEN 'window_slot' THEN concat(
            f ->> 'slot', ' of ', f ->> 'of', ' in ', f ->> 'window', ' pays ', f ->> 'points')
        WHEN 'once' THEN concat('once pays ', f ->> 'points')
        WHEN 'once_per' THEN concat('once for ', f ->> 'key', ' pays ', f ->> 'points')
        WHEN 'each_order' THEN concat('each order pays ', f ->> 'points')
        WHEN 'tag_points' THEN concat(f ->> 'points', ' on the price tags')
        WHEN 'channel_excluded' THEN concat('nothing by channel ', f ->> 'channel')
        WHEN 'payment_method_excluded' THEN concat('nothing paid by ', f ->> 'method')
        WHEN 'not_paid_at_pickup'
            THEN concat('nothing by channel ', f ->> 'channel', ' unless it is paid at pick-up')
        WHEN 'lost_bracket' THEN concat(amount, ': below all brackets')
        WHEN 'bracket' THEN concat(amount, ': ', f ->> 'points', ', from ', f ->> 'from_minor')
        WHEN 'spend_steps' THEN concat(
            amount, ': ', f ->> 'points', ', ', f ->> 'step_points', ' for each ', f ->> 'step_minor')
        ELSE line ->> 0
    END;
    RETURN to_jsonb(concat(f ->> 'rule' || ': ', sentence));
END $$
"""

DOWNGRADE = """
UPDATE credits c SET why = jsonb_set(c.why, '{trace}', (
    SELECT jsonb_agg(pg_temp.sentence_of(t.line) ORDER BY t.number)
    FROM jsonb_array_elements(c.why -> 'trace') WITH ORDINALITY t (line, number)
))
WHERE jsonb_path_exists(c.why, 'strict $.trace[*] ? (@.type() == "array")', silent => true)
"""


def upgrade() -> None:
    op.execute(STEP)
    op.execute(STEPS)
    op.execute(UPGRADE)
    op.execute("DROP FUNCTION pg_temp.steps_of, pg_temp.step")


def downgrade() -> None:
    op.execute(SENTENCE)
    op.execute(DOWNGRADE)
    op.execute("DROP FUNCTION pg_temp.sentence_of")
