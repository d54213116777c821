"""The members' page shows what the books hold, corrections included: the board hears of a visit's first end alone (`match.closed` tells no other)."""

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


def upgrade() -> None:
    """Make it, for the role of requests alone."""
    op.execute(_MY_BOOKS)
    op.execute("REVOKE ALL ON FUNCTION gateway.my_books() FROM PUBLIC, lastmetre_board")
    op.execute("GRANT EXECUTE ON FUNCTION gateway.my_books() TO lastmetre_gateway")


def downgrade() -> None:
    """Drop it."""
    op.execute("DROP FUNCTION gateway.my_books()")
