"""What the books hold of a visit by now, once: for `ledger`, for a member's own page, and for whoever is shown how a visit ended.

`match.closed` tells a visit's first end alone, so the board knows no other; the pages of residents and workers take what was corrected since from here.

And what the monitor and `attention` ask again and again has indexes.
"""

from alembic import op

revision = "0033_booked"
down_revision = "0032_who_is_waited_for"
branch_labels = None
depends_on = None

# A visit that has an end: what was told last, the minutes and points (in hundredths) of all bookings together. `corrected`: booked more than once.
_BOOKED = """
    CREATE VIEW notifying.booked AS
        SELECT v.match_id, area, v.wish_id, volunteer_ref, t.organisation, v.starts_at_us, v.closed_at_us, v.outcome, v.closed_by, v.number > 1 AS corrected,
            coalesce(sum(e.amount) FILTER (WHERE e.unit = 'minutes'), 0)::bigint AS minutes,
            coalesce(sum(e.amount) FILTER (WHERE e.unit = 'points'), 0)::bigint AS points
        FROM notifying.visits v JOIN notifying.ledger_transactions t USING (match_id, area, volunteer_ref)
            LEFT JOIN notifying.ledger_entries e ON e.transaction_id = t.id AND e.account LIKE 'volunteer/%'
        GROUP BY v.match_id, t.organisation
"""
_CORRECTIONS = "CREATE INDEX visits_corrected ON notifying.visits (area, closed_at_us) WHERE number > 1"
# With the owner's eyes, as 0017's: of visits that they may see on the board, for whoever signed in. It cannot be written through, as it joins.
_CORRECTED = """
    CREATE VIEW gateway.corrected WITH (security_barrier) AS
        SELECT b.area, b.wish_id, b.match_id, b.outcome, b.minutes, b.closed_at_us
        FROM notifying.booked b JOIN gateway.wishes w USING (area, wish_id)
        WHERE b.corrected AND b.area = (SELECT gateway.me() ->> 'area') AND (
            ((SELECT gateway.has('worker', 'auditor')) AND gateway.covers(w.area, w.community, w.compound, w.building, w.unit))
            OR w.resident_ref = ANY ((SELECT gateway.my_refs())::text[]) OR b.volunteer_ref = ANY ((SELECT gateway.my_refs())::text[]))
"""
# What each look at the monitor asks of the matches of all time: a scan of them, several times over.
_MATCHES = (
    "CREATE INDEX matches_under_way ON gateway.matches (area, ends_at) WHERE state IN ('confirmed', 'started')",
    "CREATE INDEX matches_to_approve ON gateway.matches (area, expires_at) WHERE state = 'proposed' AND needs_approval AND approved_at IS NULL",
    "CREATE INDEX matches_confirmed ON gateway.matches (area, confirmed_at) WHERE state <> 'released'",
)
# What was given up is stuck as well (0027); without it the index of what is under way served no look any more, and each went through all there ever was.
_UNDER_WAY = "CREATE INDEX confirmations_under_way ON notifying.confirmations (changed_at) WHERE state IN ({states})"
_MY_BOOKS = """
    CREATE OR REPLACE FUNCTION gateway.my_books() RETURNS TABLE (
        match_id text, starts_at timestamptz, outcome text, minutes bigint, points bigint, corrected boolean
    )
        LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
        AS $${body}$$
"""
_FROM_THE_VIEW = """
            SELECT match_id, timestamptz 'epoch' + starts_at_us * interval '1 microsecond', outcome, minutes, points, corrected
            FROM notifying.booked
            WHERE (SELECT gateway.has('volunteer')) AND area = (SELECT gateway.me() ->> 'area')
                AND volunteer_ref = (SELECT gateway.me() ->> 'volunteer_ref')
"""
_FROM_THE_TABLES = """
            SELECT t.match_id, timestamptz 'epoch' + v.starts_at_us * interval '1 microsecond', v.outcome,
                coalesce(sum(e.amount) FILTER (WHERE e.unit = 'minutes'), 0)::bigint, coalesce(sum(e.amount) FILTER (WHERE e.unit = 'points'), 0)::bigint,
                count(DISTINCT t.id) > 1
            FROM notifying.ledger_transactions t JOIN notifying.visits v USING (match_id)
                LEFT JOIN notifying.ledger_entries e ON e.transaction_id = t.id AND e.account LIKE 'volunteer/%'
            WHERE (SELECT gateway.has('volunteer')) AND t.area = (SELECT gateway.me() ->> 'area')
                AND t.volunteer_ref = (SELECT gateway.me() ->> 'volunteer_ref')
            GROUP BY t.match_id, v.starts_at_us, v.outcome
"""


def _watch(states: str) -> None:
    op.execute("DROP INDEX notifying.confirmations_under_way")
    op.execute(_UNDER_WAY.replace("{states}", states))


def upgrade() -> None:
    """The view, what corrections are found by, and what looks through it."""
    for statement in (_BOOKED, _CORRECTIONS, _CORRECTED, *_MATCHES, _MY_BOOKS.replace("{body}", _FROM_THE_VIEW)):
        op.execute(statement)
    op.execute("REVOKE ALL ON gateway.corrected FROM lastmetre_board")
    _watch("'agreed', 'telling', 'failed'")


def downgrade() -> None:
    """As it was."""
    _watch("'agreed', 'telling'")
    op.execute(_MY_BOOKS.replace("{body}", _FROM_THE_TABLES))
    op.execute("DROP INDEX gateway.matches_under_way, gateway.matches_to_approve, gateway.matches_confirmed")
    op.execute("DROP VIEW gateway.corrected")
    op.execute("DROP INDEX notifying.visits_corrected")
    op.execute("DROP VIEW notifying.booked")
