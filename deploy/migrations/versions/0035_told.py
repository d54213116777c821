"""The page of a link tells what holds now of a visit that was corrected since: it said "Done" where residents' own pages and the monitor say otherwise (0033).

And workers are shown what lies in the app for their desk: it counted as told, and no page showed it to anybody.
"""

from alembic import op

from deploy.amending import amended

revision = "0035_told"
down_revision = "0034_unconsented"
branch_labels = None
depends_on = None

# (before, after) in the function of 0031. `outcome`: what the books hold of the visit by now, where that was corrected.
_CHANGES = (
    ("called_off boolean)", "called_off boolean, outcome text)"),
    (
        "w.ends_at, w.state, m.state,",
        """w.ends_at, CASE WHEN w.state = 'closed' AND EXISTS (SELECT FROM notifying.booked b
                    WHERE b.area = l.area AND b.wish_id = l.wish_id AND b.corrected AND b.outcome <> 'done') THEN 'corrected' ELSE w.state END, m.state,""",
    ),
    (
        "(r.match_id = '' AND r.at >= m.proposed_at)))",
        """(r.match_id = '' AND r.at >= m.proposed_at))),
                (SELECT b.outcome FROM notifying.booked b WHERE b.match_id = m.match_id AND b.corrected AND m.state = 'closed')""",
    ),
)
_MINE = "SELECT key, kind, text, at, read_at{column} FROM notifying.app_inbox WHERE ref = ANY (gateway.my_refs())"
# The desk is an area's, and each of its workers reads of wishes in their own circle. What one has read is read for all; what lies for a month is history.
_DESK = """
    UNION ALL
    SELECT i.key, i.kind, i.text, i.at, i.read_at, n.wish_id
    FROM notifying.app_inbox i JOIN notifying.notices n USING (key) JOIN gateway.wishes w USING (area, wish_id)
    WHERE (SELECT gateway.has('worker')) AND i.ref = 'desk-' || (SELECT gateway.me() ->> 'area') AND i.at > clock_timestamp() - interval '30 days'
        AND gateway.covers(w.area, w.community, w.compound, w.building, w.unit)
"""
# OFFSET, as in 0017: no statement can write through it.
_INBOX = "CREATE VIEW gateway.inbox WITH (security_barrier) AS {mine} {desk} OFFSET 0"
_REFS = "ref = ANY (gateway.my_refs())"
_SHOWN = "key IN (SELECT i.key FROM gateway.inbox i)"


def _show(mine: str, desk: str) -> None:
    op.execute("DROP VIEW gateway.inbox")
    op.execute(_INBOX.replace("{mine}", mine).replace("{desk}", desk))
    op.execute("REVOKE ALL ON gateway.inbox FROM lastmetre_board")


def _remake(*changes: tuple[str, str]) -> None:
    """Make the function anew, as a column more is another type; for the role of requests alone."""
    replaced = "\n".join(
        f"""IF position($old${before}$old$ IN body) = 0 THEN RAISE EXCEPTION 'gateway.linked is not as the migrations before this one made it'; END IF;
        body := replace(body, $old${before}$old$, $new${after}$new$);"""
        for before, after in changes
    )
    op.execute(f"""
    DO $do$
    DECLARE body text := pg_get_functiondef('gateway.linked(bytea)'::regprocedure);
    BEGIN
        {replaced}
        DROP FUNCTION gateway.linked(bytea);
        EXECUTE body;
    END $do$
    """)
    op.execute("REVOKE ALL ON FUNCTION gateway.linked(bytea) FROM PUBLIC, lastmetre_board")
    op.execute("GRANT EXECUTE ON FUNCTION gateway.linked(bytea) TO lastmetre_gateway")


def upgrade() -> None:
    """Tell it."""
    _remake(*_CHANGES)
    _show(_MINE.replace("{column}", ", NULL::text AS wish_id"), _DESK)
    op.execute(amended("gateway.mark_read(uuid[])", _REFS, _SHOWN))


def downgrade() -> None:
    """As it was."""
    op.execute(amended("gateway.mark_read(uuid[])", _SHOWN, _REFS))
    _show(_MINE.replace("{column}", ""), "")
    _remake(*((after, before) for before, after in _CHANGES))
