"""Broken rows, and the checks of the audit that find them, in the history of `tests.support.full_history`."""

# Removes all constraints, and all triggers of tables: an audit must not rely on them. Triggers of views write
# the rows of tests (`tests.support.raw_rows`).
UNGUARDED = """
DO $$
DECLARE guard record;
BEGIN
    FOR guard IN
        SELECT conrelid::regclass AS of, conname AS name FROM pg_constraint
        WHERE contype IN ('c', 'f', 'u', 'p') AND connamespace = 'public'::regnamespace
        ORDER BY array_position(ARRAY['f', 'c', 'u', 'p'], contype::text)
    LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT IF EXISTS %I CASCADE', guard.of, guard.name);
    END LOOP;
    DROP INDEX credits_source_key, credits_reference, credits_day_slot, credits_month_slot, coupons_code,
        credits_streak_seq, segment_members_listed, balances_account, decisions_digest;
    FOR guard IN
        SELECT tgrelid::regclass AS of, tgname AS name
        FROM pg_trigger JOIN pg_class c ON c.oid = tgrelid WHERE NOT tgisinternal AND relkind = 'r'
    LOOP
        EXECUTE format('ALTER TABLE %s DISABLE TRIGGER %I', guard.of, guard.name);
    END LOOP;
END $$
"""

# In the program playground: a fuel credit, a pending one, a clawed back one, and the last entry of m-1.
_FIRST = "ORDER BY member_id, source_key LIMIT 1"
FUEL = f"(SELECT id FROM credits WHERE member_id = 'm-1' AND rule_id = 'fuel' AND state = 'active' {_FIRST})"
PENDING = f"(SELECT id FROM credits WHERE state = 'pending' {_FIRST})"
REVERSED = (
    f"(SELECT id FROM credits WHERE state = 'reversed' AND taken_back > 0 AND member_id = 'm-1' {_FIRST})"
)
LAST = "(member_id, seq) = (SELECT member_id, max(seq) FROM entries WHERE member_id = 'm-1' GROUP BY 1)"


def _attempts(count: int, *, credit: str = "NULL") -> str:
    """Attempts at a quiz that allows one a day."""
    return f"""
        INSERT INTO quiz_attempts (program_id, member_id, id, quiz_id, version, of_window, number, allowed,
                                   seed, started_at, expires_at, credit_id)
        SELECT 'playground', 'm-1', uuidv7(), 'spring', '#1', '2026-11-01', n, 1, '', now(), now(), {credit}
        FROM generate_series(1, {count}) n
    """


def _backtests(count: int, *, state: str, granted: bool) -> str:
    """Backtests of one campaign and window."""
    at = "now()" if granted else "NULL"
    return f"""
        INSERT INTO backtests (program_id, id, campaign_id, document, from_at, until_at, created_at, operator,
                               state, granted_at, granted_by)
        SELECT 'playground', uuidv7(), 'double', '{{}}', now() - interval '2 days', now(), now(), 'o',
               '{state}', {at}, '{"o" if granted else ""}'
        FROM generate_series(1, {count})
    """


def _referral(**columns: str) -> str:
    """A referral of m-2 by m-1, with these columns."""
    names = "".join(f", {name}" for name in columns)
    values = "".join(f", {value}" for value in columns.values())
    return f"""
        INSERT INTO referrals (id, program_id, member_id, advocate_id, program_version, claimed_at{names})
        VALUES (uuidv7(), 'playground', 'm-2', 'm-1', '1', now(){values})
    """


APPROVED = {"state": "'approved'", "decided_at": "now()", "advocate_paid_at": "now()"}


DECISION = "'01990000-0000-7000-8000-000000000000'"


def _held(state: str, *, hold_s: int = 60, taken: str = "NULL", decision: str = "NULL") -> str:
    """A credit that is held for review, and a decision of long ago."""
    return f"""
        WITH d AS (
            INSERT INTO suspicion_decisions (id, suspicion_id, program_id, kind, reason, made_by,
                                             made_by_name, made_at)
            VALUES ({DECISION}, uuidv7(), 'playground', 'rejected', 'r', 'key-1', 'Anna', '2026-11-20')
        ), s AS (
            INSERT INTO suspicions (id, program_id, rule_id, source, of_window, per, counts, at_most,
                                    opened_at, newest_at)
            VALUES (uuidv7(), 'playground', 'ring', 'd', '2026-11-21', 'device', 'members', 3, now(), now())
            RETURNING id
        )
        INSERT INTO held_credits
        SELECT c.program_id, c.member_id, c.id, s.id, '{state}', {hold_s}, CAST({decision} AS uuid),
               NULL, CAST({taken} AS bigint)
        FROM credits c, s WHERE c.id = {FUEL}
    """


def _run(*, plays: int = 0, ends_at: str = "2027-01-01") -> str:
    """A run of a game with one prize, of which there is one."""
    terms = '{"game": {"prizes": [{"id": "p", "stock": 1}]}}'
    return f"""
        INSERT INTO game_runs (program_id, game_id, run, version, defined_at, terms, seed, commitment,
                               committed_at, opens_at, ends_at, plays, head)
        VALUES ('playground', 'wheel', 1, '#1', now(), '{terms}', '', 'c', now(), '2026-01-01', '{ends_at}',
                {plays}, 'h')
    """


def _prizes(won: int) -> str:
    return f"INSERT INTO game_prizes VALUES ('playground', 'wheel', 1, 'p', '2026-11-21', {won})"


_UNPAID_PLAY = """
    INSERT INTO game_plays (program_id, member_id, game_id, run, number, id, at, day, player, drawn, prize,
                            credit_id)
    VALUES ('playground', 'm-1', 'wheel', 1, 1, uuidv7(), now(), '2026-11-21', 'x', 'p', 'p', uuidv7())
"""
_RANK = """UPDATE credits SET rule_id = 'leaderboard:week',
    why = jsonb_set(why, '{inputs}', '{"rank": 1, "period": "all"}')"""

BROKEN = [
    ("budgets_hold", "UPDATE campaign_budget_slices SET points_left = points_left + 100000"),
    ("budgets_hold", "UPDATE campaign_budget_slices SET count_left = count_left + 100"),
    (
        "budgets_hold",
        "INSERT INTO campaign_budget_returns VALUES (uuidv7(), 'club', 'double', now(), 100000, 0)",
    ),
    (
        "budgets_hold",
        "UPDATE credits SET points = points + 100000 WHERE campaign = 'double' AND state = 'active'",
    ),
    (
        "budgets_hold",
        """
        WITH gone AS (DELETE FROM campaign_budget_slices)
        UPDATE campaign_budgets SET points = 1 WHERE campaign_id = 'double'
        """,
    ),
    (
        "members_keep_to_budgets",
        "UPDATE credits SET points = points + 50000 WHERE campaign = 'double' AND state = 'active'",
    ),
    (
        "boosts_go_with_bases",
        "UPDATE credits SET due_at = due_at + interval '1 day' WHERE beside = 'double' AND state = 'active'",
    ),
    (
        "boosts_go_with_bases",
        "UPDATE credits SET expires_at = NULL WHERE beside IS NOT NULL AND state = 'active'",
    ),
    (
        "boosts_go_with_bases",
        """
        UPDATE credits b SET state = 'reversed' FROM credits c
        WHERE c.beside = 'double' AND c.state = 'active' AND c.member_id = b.member_id
          AND b.source_key || '+double' = c.source_key
        """,
    ),
    (
        "budgets_hold",
        """
        WITH total AS (INSERT INTO campaign_budgets VALUES ('playground', 'spring', 10, NULL))
        INSERT INTO campaign_budget_slices VALUES ('playground', 'spring', 0, 11, NULL)
        """,
    ),
    (
        "campaigns_were_in_force",
        "UPDATE credits SET activity_at = '2025-10-01T00:00:00Z' WHERE campaign = 'double'",
    ),
    (
        "campaigns_were_in_force",
        "UPDATE credits SET program_version = '1+books#2' WHERE campaign = 'books'",
    ),
    ("campaigns_were_in_force", "DELETE FROM campaign_actions WHERE kind = 'approved'"),
    (
        "campaigns_were_in_force",
        """
        UPDATE campaign_actions SET effective_at = effective_at - interval '30 days'
        WHERE kind = 'paused' AND campaign_id = 'double'
        """,
    ),
    ("campaigns_pay_what_they_say", "UPDATE credits SET points = points + 1 WHERE beside = 'double'"),
    ("campaigns_pay_what_they_say", "UPDATE credits SET source_key = 'x+double' WHERE beside = 'double'"),
    (
        "grants_are_posted",
        """
        INSERT INTO backtest_gains (program_id, member_id, backtest_id, points, granted_points)
        VALUES ('playground', 'm-1', uuidv7(), 5, 5)
        """,
    ),
    ("windows_are_granted_once", _backtests(2, state="done", granted=True)),
    (
        "parts_are_apart",
        f"""
        WITH added AS ({_backtests(1, state="running", granted=False)} RETURNING program_id, id)
        INSERT INTO backtest_parts (program_id, backtest_id, after_member, to_member, members)
        SELECT program_id, id, 'b', 'c', 1 FROM added
        """,
    ),
    ("orders_keep_their_version", "UPDATE orders SET program_version = '1'"),
    ("boosts_have_bases", "UPDATE credits SET source_key = 'gift+' || beside WHERE beside IS NOT NULL"),
    ("boosts_have_bases", "UPDATE credits SET rule_id = 'fuel' WHERE beside IS NOT NULL"),
    ("former_members_have_no_level", "UPDATE members SET closed_at = now() WHERE member_id = 't-1'"),
    ("levels_follow_their_history", "UPDATE tiers SET level = 'silver' WHERE group_id = 'spend'"),
    ("levels_follow_their_history", "UPDATE level_changes SET before = 'blue' WHERE number = 2"),
    ("levels_follow_their_history", "UPDATE level_changes SET number = number + 1"),
    ("levels_follow_their_history", "DELETE FROM level_changes"),
    ("levels_follow_their_history", "DELETE FROM tiers"),
    ("plays_are_numbered", "UPDATE game_plays SET number = number + 1 WHERE game_id = 'wheel'"),
    ("prizes_are_counted", "UPDATE game_plays SET prize = NULL WHERE game_id = 'wheel' AND number = 2"),
    ("prizes_are_paid", "DELETE FROM coupons WHERE program_id = 'arcade'"),
    ("boards_pay_closed_periods", "UPDATE board_periods SET paid_to = 1 WHERE paid_to = 2"),
    ("plays_are_numbered", _run(plays=2)),
    ("prizes_are_counted", _prizes(1)),
    ("prizes_fit_stock", f"WITH run AS ({_run()} RETURNING 1) {_prizes(2)}"),
    ("prizes_are_paid", _UNPAID_PLAY),
    ("prizes_are_paid", f"UPDATE credits SET rule_id = 'game:wheel' WHERE id = {FUEL}"),
    (
        "scores_have_periods",
        "INSERT INTO board_scores VALUES ('playground', 'm-1', 'week', 'all', 1, now(), 1)",
    ),
    ("boards_pay_closed_periods", f"{_RANK} WHERE id = {FUEL}"),
    ("entries_balance", f"UPDATE entries SET active_delta = active_delta + 1 WHERE {LAST}"),
    ("entries_balance", f"UPDATE entries SET debt_delta = 3 WHERE {LAST}"),
    ("programs_balance", f"UPDATE entries SET house_delta = house_delta + 5 WHERE {LAST}"),
    ("balances_are_sums", "UPDATE balances SET active = active + 1 WHERE member_id = 'm-1'"),
    ("balances_are_sums", "UPDATE balances SET held = 1 WHERE member_id = 'm-1'"),
    ("balances_are_sums", "UPDATE balances SET debt = 1 WHERE member_id = 'm-1'"),
    ("balances_are_sums", "DELETE FROM entries WHERE member_id = 'm-1'"),
    ("pending_is_sum", "UPDATE balances SET pending = pending + 1 WHERE member_id = 'm-3'"),
    ("pending_is_sum", f"DELETE FROM credits WHERE id = {PENDING}"),
    (
        "confirmed_are_due",
        """
        WITH waiting AS (
            UPDATE credits SET due_at = NULL, lapses_at = now() + interval '1 day', reference = 'review:r-0'
            WHERE id = (SELECT id FROM credits WHERE state = 'pending' LIMIT 1)
            RETURNING program_id, member_id, reference
        )
        INSERT INTO confirmations SELECT program_id, member_id, reference, now() FROM waiting
        """,
    ),
    ("statement_adds_up", f"UPDATE entries SET balance_after = balance_after + 1 WHERE {LAST}"),
    ("statement_adds_up", "UPDATE entries SET seq = 1000 - seq WHERE member_id = 'm-1'"),
    ("seqs_are_unique", "UPDATE entries SET seq = 7 WHERE member_id = 'm-1' AND seq < 7"),
    ("versions_lead", f"UPDATE entries SET seq = seq + 1000 WHERE {LAST}"),
    ("versions_lead", "UPDATE balances SET version = 1 WHERE member_id = 'm-1'"),
    ("earned_once", f"DELETE FROM entries WHERE credit_id = {FUEL}"),
    ("earned_once", f"DELETE FROM lots WHERE credit_id = {FUEL}"),
    ("earned_once", f"UPDATE entries SET active_delta = 9, house_delta = -9 WHERE credit_id = {FUEL}"),
    ("earned_once", f"INSERT INTO entries SELECT * FROM entries WHERE credit_id = {FUEL}"),
    ("earned_once", f"UPDATE stored_credits SET remaining = NULL, lot_seq = NULL WHERE id = {FUEL}"),
    ("earned_once", f"UPDATE lots SET points = points + 1 WHERE credit_id = {FUEL}"),
    ("earned_once", f"UPDATE credits SET state = 'pending' WHERE id = {FUEL}"),
    ("earned_once", f"UPDATE credits SET state = 'active' WHERE id = {PENDING}"),
    ("earned_once", f"UPDATE credits SET state = 'active', active_at = due_at WHERE id = {PENDING}"),
    ("taken_back_once", f"DELETE FROM entries WHERE kind = 'clawback' AND credit_id = {REVERSED}"),
    ("taken_back_once", "INSERT INTO entries SELECT * FROM entries WHERE kind = 'clawback'"),
    ("taken_back_once", "UPDATE entries SET corrects = corrects + 1 WHERE kind = 'clawback'"),
    ("taken_back_once", "UPDATE entries SET corrects = NULL WHERE kind = 'clawback'"),
    ("lots_add_up", f"UPDATE lots SET remaining = 1 WHERE credit_id = {REVERSED}"),
    ("taken_back_once", f"UPDATE credits SET state = 'active' WHERE id = {REVERSED}"),
    ("taken_back_once", f"UPDATE credits SET state = 'reversed' WHERE id = {FUEL}"),
    ("never_active_early", f"UPDATE credits SET due_at = active_at + interval '1 us' WHERE id = {FUEL}"),
    ("never_active_early", f"UPDATE credits SET accepted_at = active_at + interval '1 us' WHERE id = {FUEL}"),
    ("never_active_early", f"UPDATE entries SET at = at - interval '1 day' WHERE credit_id = {FUEL}"),
    *(
        ("ledger_is_of_the_past", f"UPDATE {table} SET {column} = '2100-01-01Z'")
        for table, column in (
            *(("credits", "accepted_at"), ("credits", "active_at"), ("credits", "reversed_at")),
            *(("entries", "at"), ("lots", "active_at"), ("lot_moves", "at"), ("reductions", "at")),
            *(("holds", "created_at"), ("holds", "closed_at")),
        )
    ),
    ("lots_cover_balances", f"UPDATE lots SET remaining = 0 WHERE credit_id = {FUEL}"),
    (
        "withdrawals_fit_holds",
        """
        INSERT INTO withdrawals (program_id, member_id, id, hold_id, state, method, points, amount_minor,
                                 currency, requested_at)
        VALUES ('playground', 'm-1', uuidv7(), uuidv7(), 'settled', 'cash', 1, 100, 'EUR', now())
        """,
    ),
    (
        "answered_withdrawals_exist",
        """
        INSERT INTO idempotency_keys (caller, key, fingerprint, created_at, status, headers, body)
        VALUES ('member:playground:m-1', 'k', '', now(), 202, '[]', convert_to(
            '{"id":"019c0000-0000-7000-8000-000000000000","method":"cash"}', 'UTF8'))
        """,
    ),
    (
        "answered_redemptions_exist",
        """
        INSERT INTO idempotency_keys (caller, key, fingerprint, created_at, status, headers, body)
        VALUES ('member:playground:m-1', 'k', '', now(), 201, '[]', convert_to(
            '{"redemption_id":"019c0000-0000-7000-8000-000000000000"}', 'UTF8'))
        """,
    ),
    # A lot is columns of its credit: there is one at most, and never without its credit. Its end and its
    # entry can be wrong.
    ("lots_match_credits", f"UPDATE lots SET expires_at = 'infinity' WHERE credit_id = {FUEL}"),
    (
        "lots_match_credits",
        f"UPDATE lots SET active_at = active_at - interval '1 s' WHERE credit_id = {FUEL}",
    ),
    ("lots_match_credits", f"UPDATE lots SET entry_seq = entry_seq + 1 WHERE credit_id = {FUEL}"),
    ("entries_have_credits", f"UPDATE credits SET id = uuidv7() WHERE id = {FUEL}"),
    ("entries_have_credits", f"UPDATE entries SET credit_id = uuidv7() WHERE credit_id = {FUEL}"),
    ("rows_have_accounts", "DELETE FROM balances WHERE member_id = 'm-2'"),
    ("rows_have_accounts", "UPDATE stored_credits SET account = -account WHERE state = 'pending'"),
    ("rows_have_accounts", "UPDATE stored_entries SET account = -account WHERE kind = 'clawback'"),
    ("credits_are_explained", "DELETE FROM decisions"),
    ("credits_are_explained", f"UPDATE stored_credits SET decision = -1, why = NULL WHERE id = {FUEL}"),
    ("credits_are_explained", f"UPDATE stored_credits SET decision = NULL, why = NULL WHERE id = {FUEL}"),
    ("decisions_stay", "UPDATE decisions SET why = jsonb_set(why, '{zone}', '\"Asia/Kolkata\"')"),
    ("decisions_stay", "UPDATE decisions SET program_version = '2'"),
    ("decisions_stay", "UPDATE decisions SET digest = sha256(digest)"),
    ("rows_have_members", "DELETE FROM members WHERE member_id = 'm-2'"),
    ("rows_have_members", "INSERT INTO card_numbers VALUES ('playground', '1234', 'nobody')"),
    ("rows_have_members", "UPDATE shop_events SET member_id = 'nobody'"),
    ("members_have_rows", "DELETE FROM balances WHERE member_id = 'm-2'"),
    ("numbers_have_ages", "UPDATE members SET phone = '+34600000000' WHERE member_id = 'm-2'"),
    (
        "numbers_have_ages",
        """
        INSERT INTO payee_numbers (program_id, member_id, phone)
        SELECT program_id, member_id, '+34600000000' FROM members WHERE closed_at IS NOT NULL
        """,
    ),
    (
        "persons_earn_once",
        """
        WITH kept AS (
            INSERT INTO person_slots (program_id, person_hash, source_key, rule_id, program_version)
            SELECT program_id, sha256('p'), source_key, rule_id, program_version FROM credits
            WHERE member_id = 'm-1' AND source_key = 'registration'
        )
        UPDATE members SET person_hash = sha256('p') WHERE member_id = 'm-1'
        """,
    ),
    ("keys_are_unique", f"INSERT INTO credits SELECT * FROM credits WHERE id = {FUEL}"),
    ("keys_are_unique", "UPDATE credits SET reference = 'share:s' WHERE rule_id = 'share_link'"),
    ("credits_have_rules", f"UPDATE credits SET rule_id = 'other' WHERE id = {FUEL}"),
    ("credits_have_rules", f"UPDATE credits SET program_version = 'third' WHERE id = {FUEL}"),
    (
        "credits_have_rules",
        "UPDATE credits SET source_key = 'share_link:2026-11:1' WHERE rule_id = 'share_link'",
    ),
    ("credits_have_rules", "UPDATE credits SET source_key = source_key || '0' WHERE rule_id = 'share_any'"),
    ("credits_have_rules", "UPDATE credits SET source_key = 'review' WHERE rule_id = 'review'"),
    (
        "limits_hold",
        """
        INSERT INTO credits (program_id, member_id, id, source_key, rule_id, program_version, points, state,
                             activity_at, accepted_at, why, of_month, month_slot)
        SELECT program_id, member_id, uuidv7(), source_key, rule_id, program_version, points, state,
               activity_at, accepted_at, why, of_month, month_slot
        FROM credits WHERE rule_id = 'share_social'
        """,
    ),
    ("limits_hold", "UPDATE credits SET month_slot = month_slot + 6 WHERE rule_id = 'share_any'"),
    ("limits_hold", "UPDATE credits SET month_slot = 1 WHERE rule_id = 'share_any'"),
    (
        "limits_are_counted",
        "UPDATE credits SET of_month = NULL, month_slot = NULL WHERE rule_id = 'share_social'",
    ),
    ("credits_have_rules", "UPDATE credits SET of_day = of_day - 1 WHERE rule_id = 'share_link'"),
    ("credits_have_rules", "UPDATE credits SET source_key = 'review:0' WHERE rule_id = 'review'"),
    ("credits_have_rules", "UPDATE credits SET why = why - 'inputs' WHERE rule_id = 'review'"),
    (
        "streaks_are_consecutive",
        "DELETE FROM credits WHERE member_id = 'm-1' AND source_key = 'fuel:2026-11-22'",
    ),
    (
        "streaks_are_consecutive",
        f"UPDATE credits SET why = jsonb_set(why, '{{inputs,streak_days}}', '5') WHERE id = {FUEL}",
    ),
    (
        "freezes_are_counted",
        "INSERT INTO holds (program_id, member_id, id, purpose, state, points, created_at, closed_at)"
        " VALUES ('playground', 'm-1', uuidv7(), 'freeze', 'captured', 0, now(), now())",
    ),
    ("shared_slots", "DELETE FROM credits WHERE member_id = 'm-1' AND source_key = 'fuel:2026-11-23'"),
    ("shared_slots", "DELETE FROM credits WHERE rule_id = 'share_any'"),
]

# Rows of orders, spending, expirations, adjustments and merges.
BROKEN += [
    ("entries_are_of_their_kind", "UPDATE entries SET kind = 'release' WHERE kind = 'hold'"),
    ("entries_are_of_their_kind", "UPDATE entries SET house_account = 'issued' WHERE kind = 'expiration'"),
    ("entries_are_of_their_kind", "UPDATE entries SET kind = 'gift' WHERE kind = 'adjustment'"),
    ("entries_are_of_their_kind", "UPDATE entries SET hold_id = NULL WHERE kind = 'capture'"),
    ("debts_are_paid_first", "UPDATE balances SET debt = 1 WHERE member_id = 'm-1'"),
    ("transfers_arrive", "DELETE FROM entries WHERE kind = 'transfer' AND member_id = 'b-3'"),
    ("earned_once", "UPDATE entries SET credit_id = NULL WHERE kind = 'adjustment' AND active_delta > 0"),
    ("taken_back_once", "UPDATE credits SET taken_back = taken_back - 1 WHERE taken_back > 0"),
    ("taken_back_once", "UPDATE credits SET taken_back = points WHERE member_id = 'b-1' AND taken_back > 0"),
    ("reductions_have_credits", "UPDATE reductions SET credit_id = uuidv7()"),
    ("lots_cover_balances", "UPDATE balances SET held = 0 WHERE member_id = 'b-1'"),
    ("lots_add_up", "UPDATE lots SET remaining = remaining - 1 WHERE member_id = 'b-1' AND remaining > 0"),
    ("lots_add_up", "UPDATE lots SET expired = 0 WHERE expired > 0"),
    ("lots_add_up", "UPDATE lots SET expired = expired + 1 WHERE member_id = 'b-2'"),
    ("lots_add_up", "UPDATE lot_moves SET held_delta = -held_delta WHERE held_delta > 0"),
    ("moves_match_entries", "DELETE FROM lot_moves WHERE held_delta > 0"),
    ("moves_match_entries", "UPDATE lot_moves SET active_delta = active_delta + 1"),
    ("moves_match_entries", "UPDATE lot_moves SET credit_id = uuidv7()"),
    ("moves_match_entries", "UPDATE lot_moves SET at = at + interval '1 minute'"),
    ("moves_match_entries", "UPDATE lot_moves SET entry_seq = entry_seq + 1000"),
    ("lots_match_credits", "UPDATE lot_moves SET expires_at = NULL WHERE expires_at IS NOT NULL"),
    ("nothing_ends_early", "UPDATE entries SET at = at - interval '30 days' WHERE kind = 'expiration'"),
    (
        "nothing_ends_early",
        "UPDATE lot_moves SET expires_at = expires_at + interval '30 days' WHERE expires_at IS NOT NULL",
    ),
    ("nothing_ends_early", "UPDATE credits SET expires_at = NULL WHERE member_id = 'b-1'"),
    ("held_is_sum", "UPDATE holds SET points = points + 1 WHERE state = 'open'"),
    ("held_is_sum", "UPDATE balances SET held = held + 1 WHERE member_id = 'b-2'"),
    ("holds_have_their_points", "UPDATE holds SET state = 'captured' WHERE state = 'open'"),
    ("holds_have_their_points", "UPDATE holds SET state = 'released' WHERE state = 'captured'"),
    ("holds_have_their_points", "UPDATE holds SET reinstated = 0 WHERE reinstated > 0"),
    ("holds_have_their_points", "UPDATE holds SET reinstated = points WHERE state = 'released'"),
    ("holds_have_their_points", "UPDATE holds SET closed_at = NULL WHERE state = 'expired'"),
    (
        "holds_return_to_their_lots",
        """
        UPDATE lot_moves m
        SET credit_id = (SELECT credit_id FROM lots WHERE member_id = 's-1' ORDER BY 1 DESC LIMIT 1)
        FROM entries e
        WHERE (e.member_id, e.seq, e.kind) = ('s-1', m.entry_seq, 'release') AND m.member_id = 's-1'
        """,
    ),
    ("entries_have_holds", "DELETE FROM holds WHERE member_id = 'b-5'"),
    ("entries_have_holds", "UPDATE entries SET hold_id = uuidv7() WHERE kind = 'reinstatement'"),
    ("coupons_fit_holds", "UPDATE coupons SET state = 'applied', closed_at = NULL WHERE state = 'issued'"),
    ("coupons_fit_holds", "UPDATE coupons SET state = 'issued' WHERE state = 'applied'"),
    ("coupons_fit_holds", "UPDATE coupons SET hold_id = NULL WHERE state = 'used' AND kind = 'coupon'"),
    ("coupons_fit_holds", "UPDATE coupons SET points = points + 1 WHERE state = 'void'"),
    ("coupons_fit_holds", "UPDATE coupons SET closed_at = NULL WHERE state = 'void'"),
    ("coupons_fit_holds", "UPDATE coupons SET redemption_id = hold_id WHERE state = 'applied'"),
    ("redemptions_issue_rewards", "DELETE FROM coupons WHERE state = 'void'"),
    ("redemptions_issue_rewards", "INSERT INTO coupons SELECT * FROM coupons WHERE kind = 'f_code'"),
    ("stock_is_counted", "UPDATE reward_stock SET issued = issued + 1"),
    (
        "stock_is_counted",
        "INSERT INTO coupons SELECT c.* FROM coupons c, generate_series(1, 3) WHERE reward_id = 'scarce'",
    ),
    ("referrals_pay_once", _referral(**APPROVED)),
    (
        "referrals_pay_once",
        f"""
        UPDATE credits SET rule_id = 'referral:advocate', why = jsonb_set(
            why, '{{activity}}', jsonb_build_object('activity', 'referral', 'referral_id', uuidv7()))
        WHERE id = {FUEL}
        """,
    ),
    (
        "lost_referrals_keep_nothing",
        f"""
        WITH lost AS ({_referral(**APPROVED, advocate_lost_at="now()")} RETURNING id)
        UPDATE credits SET source_key = 'referral:advocate:' || lost.id FROM lost WHERE credits.id = {FUEL}
        """,
    ),
    (
        "codes_belong_to_members",
        "INSERT INTO referral_codes VALUES ('playground', 'nobody', 'ABCDEFGH', now())",
    ),
    (
        "held_credits_exist",
        "INSERT INTO held_credits"
        " VALUES ('playground', 'm-1', uuidv7(), uuidv7(), 'open', 60, NULL, NULL, NULL)",
    ),
    ("held_points_wait", _held("open", hold_s=86_400)),
    ("rejected_points_are_taken", _held("rejected", taken="1000000", decision=DECISION)),
    (
        "restored_once",
        f"UPDATE credits SET rule_id = 'restored', source_key = 'restored:' || id WHERE id = {FUEL}",
    ),
    (
        "places_are_counted",
        """
        WITH s AS (
            INSERT INTO suspicions (id, program_id, rule_id, source, of_window, per, counts, at_most,
                                    opened_at, newest_at)
            VALUES (uuidv7(), 'playground', 'ring', 'd', '2026-11-21', 'device', 'members', 3, now(), now())
        )
        INSERT INTO velocity_places
        VALUES ('playground', 'ring', 'd', '2026-11-21', 2, 'm-1', '', '2026-11-22')
        """,
    ),
    ("attempts_are_paid_once", f"UPDATE credits SET rule_id = 'quiz:spring' WHERE id = {FUEL}"),
    ("attempts_are_paid_once", _attempts(1, credit=FUEL)),
    ("attempts_fit_their_window", _attempts(2)),
    ("withdrawals_fit_holds", "UPDATE withdrawals SET state = 'settled' WHERE state = 'requested'"),
    ("withdrawals_fit_holds", "UPDATE withdrawals SET points = points + 1"),
    ("withdrawals_fit_holds", "UPDATE withdrawals SET closed_at = NULL WHERE state = 'failed'"),
    (
        "withdrawals_fit_holds",
        "UPDATE entries SET house_account = 'redeemed' WHERE house_account = 'withdrawn'",
    ),
    ("withdrawals_fit_holds", "DELETE FROM withdrawals WHERE state = 'failed'"),
    ("orders_are_paid", "DELETE FROM orders WHERE member_id = 'b-2'"),
    ("orders_are_paid", "UPDATE orders SET paid = NULL WHERE member_id = 'b-1'"),
    ("orders_keep_their_version", "UPDATE orders SET program_version = '2' WHERE member_id = 'b-1'"),
    ("returned_orders_earn_nothing", "UPDATE orders SET cancelled_at = now() WHERE member_id = 'b-1'"),
    (
        "returned_orders_earn_nothing",
        """UPDATE orders SET returns = returns || '[{"return_id": "all", "lines": null}]'""",
    ),
    ("deliveries_set_due_times", "UPDATE orders SET delivered_at = now() WHERE order_id = 'o-5'"),
    ("orders_have_one_owner", "UPDATE order_owners SET member_id = 'b-1' WHERE order_id = 'o-5'"),
    ("orders_have_one_owner", "DELETE FROM order_owners WHERE order_id = 'o-5'"),
    ("orders_have_one_owner", "UPDATE orders SET order_id = 'o-5' WHERE order_id = 'o-9'"),
    (
        "returns_count_once",
        """UPDATE orders SET returns = returns || returns WHERE returns <> '[]'""",
    ),
    ("returned_orders_give_back", "UPDATE orders SET cancelled_at = now() WHERE order_id = 'o-2'"),
    ("rows_have_members", "DELETE FROM members WHERE member_id = 's-1'"),
    ("rows_have_members", "UPDATE orders SET member_id = 'nobody'"),
    ("closed_accounts_are_empty", "UPDATE balances SET closed = true WHERE member_id = 'm-1'"),
    ("closed_accounts_are_empty", "UPDATE balances SET closed = false"),
    ("closed_accounts_are_empty", "UPDATE balances SET debt = 1 WHERE closed"),
    (
        "past_stays",
        "WITH none AS (DELETE FROM sandbox_clock) UPDATE program_versions SET published_at = '2026-11-22'",
    ),
    ("audit_log_stays", "UPDATE audit_log SET operator = 'nobody' WHERE seq = 1"),
    ("audit_log_stays", "UPDATE audit_log SET after = NULL WHERE seq = 1"),
    ("audit_log_stays", "DELETE FROM audit_log WHERE seq = 1"),
    ("audit_log_stays", "DELETE FROM audit_log WHERE seq = (SELECT max(seq) FROM audit_log)"),
    ("audit_log_stays", "DELETE FROM audit_log"),
    ("audit_log_stays", "DELETE FROM audit_log_head"),
    (
        "audit_log_stays",
        "INSERT INTO audit_log SELECT id, seq + 1, at, program_id, operator, subject, action, reason, before,"
        " after, digest FROM audit_log ORDER BY seq DESC LIMIT 1",
    ),
    ("published_versions_stay", "UPDATE program_versions SET document = document || ' '"),
    ("published_versions_stay", "DELETE FROM program_versions WHERE program_id = 'playground'"),
    ("entries_are_listed", "DELETE FROM draw_list WHERE number = 1"),
    ("entries_are_listed", "UPDATE draw_list SET hash = repeat('0', 64) WHERE number = 2"),
    ("entries_are_listed", "UPDATE draw_entries SET salt = repeat('0', 64)"),
    ("entries_are_listed", "UPDATE draw_entries SET number = 7 WHERE draw_id = 'rewardmi'"),
    (
        "entries_are_listed",
        "INSERT INTO draw_list SELECT program_id, draw_id, number, hash FROM draw_entries"
        " WHERE draw_id = 'rewardmi'",
    ),
    ("lists_stay_frozen", "INSERT INTO draw_list VALUES ('lottery', 'plain', 9, repeat('0', 64))"),
    ("lists_stay_frozen", "UPDATE draw_list SET place = NULL WHERE place = 1"),
    ("lists_stay_frozen", "UPDATE draws SET state = 'void' WHERE draw_id = 'plain'"),
    ("lists_stay_frozen", "UPDATE draws SET prizes = 1 WHERE draw_id = 'plain'"),
    ("prizes_are_paid_to_winners", "UPDATE draw_entries SET paid_at = NULL WHERE draw_id = 'plain'"),
    ("prizes_are_paid_to_winners", "DELETE FROM credits WHERE rule_id = 'draw:plain'"),
    ("prizes_are_paid_to_winners", "UPDATE draw_entries SET prize_at = now() WHERE draw_id = 'rewardmi'"),
    (
        "prizes_are_paid_to_winners",
        "UPDATE credits SET source_key = 'draw:plain:8' WHERE source_key = 'draw:plain:1'",
    ),
    ("adjustments_are_posted", "DELETE FROM adjustments WHERE points > 0"),
    ("adjustments_are_posted", "UPDATE adjustments SET points = points - 1"),
    ("adjustments_are_posted", "UPDATE entries SET kind = 'opening' WHERE kind = 'adjustment'"),
    (
        "credits_have_rules",
        "UPDATE credits SET source_key = 'purchase:' || source_key WHERE rule_id = 'purchase'",
    ),
    ("credits_have_rules", "UPDATE credits SET source_key = 'gift' WHERE rule_id = 'adjustment'"),
    ("credits_have_rules", "UPDATE credits SET rule_id = 'draw:none' WHERE rule_id = 'draw:plain'"),
    ("credits_have_rules", "UPDATE credits SET source_key = 'gift' WHERE source_key = 'draw:plain:1'"),
    ("credits_have_rules", "UPDATE credits SET source_key = 'gift' WHERE rule_id = 'opening_balance'"),
    ("credits_have_rules", "UPDATE credits SET rule_id = 'adjustment' WHERE rule_id = 'opening_balance'"),
]

# Lists of a segment, four of them: b-1 was away in between.
BROKEN += [
    ("stays_are_apart", "INSERT INTO segment_members SELECT * FROM segment_members WHERE until IS NOT NULL"),
    ("stays_are_apart", "UPDATE segment_members SET until = NULL WHERE member_id = 'b-1'"),
    ("stays_follow_versions", "UPDATE segment_members SET since = since - interval '1 hour'"),
    ("stays_follow_versions", "UPDATE segment_members SET until = until - interval '1 second'"),
    ("stays_follow_versions", "UPDATE segment_versions SET computed = '{}' WHERE version = 1"),
    ("stays_follow_versions", "UPDATE segment_versions SET computed = '{}' WHERE version = 2"),
    ("stays_are_of_open_accounts", "UPDATE segment_members SET member_id = 'b-3' WHERE member_id = 'b-2'"),
    ("stays_are_of_open_accounts", "UPDATE segment_members SET member_id = 'b-4' WHERE member_id = 'b-2'"),
    ("segments_have_versions", "DELETE FROM segment_versions WHERE version = 1"),
    ("segments_have_versions", "DELETE FROM segment_versions"),
    ("segments_have_versions", "DELETE FROM segments"),
    ("segments_have_versions", "UPDATE segment_versions SET since = '2020-01-01'"),
]

LATE = [
    ("reviews_are_done", _held("rejecting", decision=DECISION)),
    ("levels_end_in_time", "UPDATE tiers SET keeps_until = '2026-11-20' WHERE group_id = 'spend'"),
    ("games_are_revealed", _run(ends_at="2026-11-20")),
    (
        "periods_close_in_time",
        "INSERT INTO board_periods (program_id, board_id, period, version, closes_at)"
        " VALUES ('playground', 'week', 'all', '#1', '2026-11-20')",
    ),
    ("draws_go_on_in_time", "UPDATE draws SET closes_at = '2026-11-20' WHERE state = 'open'"),
    (
        "streaks_continue",
        """
        UPDATE credits SET why = jsonb_set(why, '{inputs,streak_days}', '1')
        WHERE member_id = 'm-1' AND source_key = 'fuel:2026-11-23'
        """,
    ),
    (
        "lapsed_in_time",
        """
        UPDATE credits SET due_at = NULL, lapses_at = accepted_at - interval '2 minutes'
        WHERE state = 'pending'
        """,
    ),
    (
        "settled_in_time",
        "UPDATE credits SET due_at = accepted_at - interval '2 minutes' WHERE state = 'pending'",
    ),
    (
        "published_in_time",
        """
        INSERT INTO outbox VALUES (
            uuidv7(), now() - interval '2 minutes', 'active', ARRAY['playground'], ARRAY['m-1']
        )
        """,
    ),
    (
        "reactions_done",
        """
        INSERT INTO member_changes (id, at, program_id, member_ids, tries)
        VALUES (uuidv7(), now(), 'playground', ARRAY['m-1'], 3)
        """,
    ),
    (
        "promised_in_time",
        "UPDATE credits SET activity_at = activity_at - interval '17 days' WHERE reference = 'order:o-5'",
    ),
    ("ended_in_time", "UPDATE lots SET expires_at = '2026-11-21' WHERE remaining > 0 AND member_id = 'm-1'"),
    (
        "holds_end_in_time",
        "UPDATE holds SET expires_at = created_at - interval '2 minutes' WHERE state = 'open'",
    ),
    (
        "referrals_are_paid_in_time",
        _referral(state="'pending'", due_at="'2026-11-21'"),
    ),
    ("coupons_end_in_time", "UPDATE coupons SET expires_at = '2026-11-21' WHERE state = 'issued'"),
    (
        "payouts_checked_in_time",
        "UPDATE withdrawals SET ask_at = requested_at - interval '2 minutes' WHERE state = 'requested'",
    ),
]
