"""What lies in the app can be read in either language: a desk has several readers, and its messages stood in the one that the notifier writes.

A row of before has its one text, and is shown as it stands. A word to the desk keeps what it tells of its wish, so that it can be said again.
"""

from alembic import op

revision = "0038_in_each_language"
down_revision = "0037_after_years"
branch_labels = None
depends_on = None

# As 0037 made it; a column more at its end.
_CIRCLE = " AND ".join(
    f"coalesce(w.{step} = (SELECT gateway.me() ->> '{step}'), (SELECT gateway.me() ->> '{step}') IS NULL)"
    for step in ("community", "compound", "building", "unit")
)
_INBOX = f"""
    CREATE VIEW gateway.inbox WITH (security_barrier) AS
    SELECT key, kind, text, at, read_at, NULL::text AS wish_id{{mine}} FROM notifying.app_inbox WHERE ref = ANY (gateway.my_refs())
    UNION ALL
    SELECT i.key, i.kind, i.text, i.at, i.read_at, n.wish_id{{desk}}
    FROM notifying.app_inbox i JOIN notifying.notices n USING (key) JOIN gateway.wishes w USING (area, wish_id)
    WHERE (SELECT gateway.has('worker')) AND i.ref = 'desk-' || (SELECT gateway.me() ->> 'area') AND i.at > statement_timestamp() - interval '30 days'
        AND w.area = (SELECT gateway.me() ->> 'area') AND {_CIRCLE}
"""  # noqa: S608 - our own words alone


def _show(mine: str, desk: str) -> None:
    op.execute("DROP VIEW gateway.inbox")
    op.execute(_INBOX.format(mine=mine, desk=desk))
    op.execute("REVOKE ALL ON gateway.inbox FROM lastmetre_board")


def upgrade() -> None:
    """Two columns, and the view shows one of them."""
    # language -> text, its own and where it can be said again the other.
    op.execute("ALTER TABLE notifying.app_inbox ADD COLUMN texts jsonb")
    op.execute("ALTER TABLE notifying.notices ADD COLUMN need text")
    _show(", texts", ", i.texts")


def downgrade() -> None:
    """As it was."""
    _show("", "")
    op.execute("ALTER TABLE notifying.notices DROP COLUMN need")
    op.execute("ALTER TABLE notifying.app_inbox DROP COLUMN texts")
