"""Word of a release that went through no channel wants attention also where the visit was not confirmed yet: one of the two may have been told of it before.

The function is 0013's, with another last part: it joined visits, and a match has one only once it is confirmed.
"""

from alembic import op

revision = "0025_unheard"
down_revision = "0024_notices_by_statement"
branch_labels = None
depends_on = None

_MINUTE = 60 * 1_000_000
_DAY = 24 * 60 * _MINUTE
_SAID = "SELECT FROM notifying.reports r WHERE r.area = v.area AND r.wish_id = v.wish_id AND r.offer_id = v.offer_id"
_MICROS = "(extract(epoch FROM {at}::timestamptz) * 1000000)::bigint"
_BEFORE = f"""
        SELECT DISTINCT 'unheard', n.area, n.wish_id, n.match_id, v.starts_at_us, NULL::text
            FROM notifying.notices n JOIN notifying.visits v USING (match_id)
            WHERE n.state = 'dead' AND n.kind IN ('released', 'not_started', 'not_finished') AND v.ends_at_us > now_us - {_DAY}
"""  # noqa: S608 - of our own constants
_NOW = f"""
        SELECT DISTINCT 'unheard', n.area, n.wish_id, n.match_id, coalesce(v.starts_at_us, {_MICROS.format(at="c.slot_start")}), NULL::text
            FROM notifying.notices n JOIN notifying.confirmations c USING (match_id) LEFT JOIN notifying.visits v USING (match_id)
            WHERE n.state = 'dead' AND n.kind IN ('released', 'not_started', 'not_finished')
                AND coalesce(v.ends_at_us, {_MICROS.format(at="c.slot_end")}) > now_us - {_DAY}
"""  # noqa: S608 - of our own constants


def _attention(unheard: str) -> str:
    return f"""
    CREATE OR REPLACE FUNCTION notifying.attention_at(now_us bigint)
    RETURNS TABLE (kind text, area text, wish_id text, match_id text, at_us bigint, told text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
        WITH alarms AS (
            SELECT n.match_id, string_agg(DISTINCT n.party, ',' ORDER BY n.party) AS told FROM notifying.notices n
            JOIN notifying.visits v USING (match_id)
            WHERE v.number = 0 AND v.due_at_us IS NOT NULL AND n.kind IN ('not_started', 'not_finished') AND n.state = 'sent' GROUP BY n.match_id
        ), silent AS (
            SELECT v.*, EXISTS ({_SAID} AND r.kind = 'started') AS started
            FROM notifying.visits v JOIN notifying.confirmations c USING (match_id)
            WHERE v.number = 0 AND v.due_at_us IS NOT NULL AND v.starts_at_us <= now_us - {15 * _MINUTE} AND c.state <> 'released'
                AND NOT EXISTS ({_SAID} AND r.kind <> 'started')
        )
        SELECT 'stuck', c.area, c.wish_id, c.match_id, (extract(epoch FROM c.changed_at) * 1000000)::bigint, NULL FROM notifying.confirmations c
            WHERE c.state IN ('agreed', 'telling') AND c.changed_at <= to_timestamp((now_us - {15 * _MINUTE})::float8 / 1000000)
        UNION ALL
        SELECT CASE WHEN s.started THEN 'not_finished' WHEN s.ends_at_us <= now_us - {30 * _MINUTE} THEN 'nothing_said' ELSE 'not_started' END,
            s.area, s.wish_id, s.match_id, CASE WHEN s.started OR s.ends_at_us <= now_us - {30 * _MINUTE} THEN s.ends_at_us ELSE s.starts_at_us END, a.told
            FROM silent s LEFT JOIN alarms a USING (match_id) WHERE NOT s.started OR s.ends_at_us <= now_us - {30 * _MINUTE}
        UNION ALL
        SELECT 'called_off_late', c.area, c.wish_id, c.match_id, v.starts_at_us, NULL
            FROM notifying.confirmations c JOIN notifying.visits v USING (match_id)
            WHERE c.called_off_late AND c.called_off_at_us > now_us - {2 * _DAY} AND v.starts_at_us > now_us - {_DAY}
        UNION ALL
        SELECT 'no_show', v.area, v.wish_id, v.match_id, v.starts_at_us, NULL FROM notifying.no_shows v WHERE v.closed_at_us > now_us - {7 * _DAY}
        UNION ALL
{unheard}
    $$
    """  # noqa: S608 - the same


def upgrade() -> None:
    """By the confirmation's slot, where there is no visit."""
    op.execute(_attention(_NOW))


def downgrade() -> None:
    """As it was."""
    op.execute(_attention(_BEFORE))
