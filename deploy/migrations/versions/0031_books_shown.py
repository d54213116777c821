"""The members' page shows what the books hold, corrections included: the board hears of a visit's first end alone (`match.closed` tells no other).

And the page of a helper's link tells whether the helper has called off themselves: they were told that somebody had been first. The function is 0030's, but for
that column.
"""

from alembic import op

revision = "0031_books_shown"
down_revision = "0030_link_of_invitation"
branch_labels = None
depends_on = None

# With the owner's eyes, for `gateway.me()` alone, as 0017's: the role of requests gets nothing on schema `notifying`. Points are in hundredths.
_MY_BOOKS = """
    CREATE FUNCTION gateway.my_books() RETURNS TABLE (match_id text, starts_at timestamptz, outcome text, minutes bigint, points bigint, corrected boolean)
        LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
        AS $$
            SELECT t.match_id, timestamptz 'epoch' + v.starts_at_us * interval '1 microsecond', v.outcome,
                coalesce(sum(e.amount) FILTER (WHERE e.unit = 'minutes'), 0)::bigint, coalesce(sum(e.amount) FILTER (WHERE e.unit = 'points'), 0)::bigint,
                count(DISTINCT t.id) > 1
            FROM notifying.ledger_transactions t JOIN notifying.visits v USING (match_id)
                LEFT JOIN notifying.ledger_entries e ON e.transaction_id = t.id AND e.account LIKE 'volunteer/%'
            WHERE (SELECT gateway.has('volunteer')) AND t.area = (SELECT gateway.me() ->> 'area')
                AND t.volunteer_ref = (SELECT gateway.me() ->> 'volunteer_ref')
            GROUP BY t.match_id, v.starts_at_us, v.outcome
        $$
"""
_LINKED = """
    CREATE FUNCTION gateway.linked(code_digest bytea) RETURNS TABLE (
        area text, wish_id text, party text, category text, urgency text, title text, compound text, starts_at timestamptz, ends_at timestamptz,
        wish_state text, match_state text, rung text, slot_start timestamptz, slot_end timestamptz, organisation text, invited_until timestamptz{column}
    )
        LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
        AS $$
            SELECT l.area, l.wish_id, l.party, w.category, w.urgency, CASE WHEN l.party = 'resident' THEN w.title END,
                CASE WHEN l.party = 'resident' OR NOT (w.age_band LIKE 'under%' OR w.category = 'left_behind_children') THEN w.compound END,
                w.starts_at, w.ends_at, w.state, m.state,
                CASE WHEN l.party = 'resident' OR m.state IN ('agreed', 'confirmed', 'started', 'finished') OR coalesce(m.rung, i.rung) IN ('community', 'area')
                    OR NOT (w.age_band LIKE 'under%' OR w.category = 'left_behind_children') THEN coalesce(m.rung, i.rung)
                    WHEN coalesce(m.rung, i.rung) IS NOT NULL THEN 'community' END,
                coalesce(m.starts_at, i.starts_at), coalesce(m.ends_at, i.ends_at), m.organisation, i.expires_at{value}
            FROM links.links l
            LEFT JOIN gateway.wishes w USING (area, wish_id)
            LEFT JOIN gateway.matches m ON m.area = l.area AND m.match_id = coalesce(l.match_id, (SELECT o.match_id FROM gateway.matches o
                WHERE o.area = l.area AND o.wish_id = l.wish_id AND o.offer_id = l.offer_id ORDER BY o.proposed_at DESC NULLS LAST, o.match_id LIMIT 1))
            LEFT JOIN gateway.invitations i ON l.match_id IS NULL AND i.area = l.area AND i.wish_id = l.wish_id AND i.offer_id = l.offer_id
            WHERE l.digest = code_digest
        $$
"""
# `declined` is also what a match is released for that the community does not approve; only the helper says `match.declined`.
_CALLED_OFF = """,
                m.state = 'released' AND m.release_reason = 'declined' AND EXISTS (SELECT FROM gateway.reports r
                    WHERE r.area = m.area AND r.wish_id = m.wish_id AND r.offer_id = m.offer_id AND r.kind = 'declined'
                        AND (r.match_id = m.match_id OR (r.match_id = '' AND r.at >= m.proposed_at)))"""


def _make(function: str, statement: str) -> None:
    """Make a function that is for the role of requests alone."""
    op.execute(statement)
    op.execute(f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC, lastmetre_board")
    op.execute(f"GRANT EXECUTE ON FUNCTION {function} TO lastmetre_gateway")


def upgrade() -> None:
    """Make the one, and the other with one column more."""
    _make("gateway.my_books()", _MY_BOOKS)
    op.execute("DROP FUNCTION gateway.linked(bytea)")
    _make("gateway.linked(bytea)", _LINKED.replace("{column}", ", called_off boolean").replace("{value}", _CALLED_OFF))


def downgrade() -> None:
    """As it was."""
    op.execute("DROP FUNCTION gateway.linked(bytea)")
    _make("gateway.linked(bytea)", _LINKED.replace("{column}", "").replace("{value}", ""))
    op.execute("DROP FUNCTION gateway.my_books()")
